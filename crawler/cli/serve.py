"""`serve`: the crawler as a service, with its API and its dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crawler.cli.service_options import DATA
from crawler.cli.signals import Signals

if TYPE_CHECKING:
    import asyncio

    from crawler.service.address import ServedAt


@click.command()
@DATA
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:8765", show_default=True, help="Port 0: any.")
@click.option("--allow-remote", is_flag=True, help="Let --listen name an address that other machines reach.")
@click.option("--config", metavar="FILE", help="TOML file with a table [service].")
@click.option("--rebuild", is_flag=True, help="Move a damaged service.sqlite aside; make it anew from the runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the address as one JSON object.")
@click.pass_obj
def serve(
    signals: Signals,
    /,
    data: str,
    listen: str,
    allow_remote: bool,
    config: str | None,
    rebuild: bool,
    as_json: bool,
) -> int:
    """Run jobs on schedules and on demand: HTTP API, dashboard, metrics.

    The first line on stdout tells the address and the file of the token. Ctrl-C or SIGTERM stops it: runs are
    interrupted, and go on when it is started again.
    """
    signals.hold()
    import asyncio
    from pathlib import Path

    import uvloop

    from crawler.service import server
    from crawler.service.config import read_config
    from crawler.service.service import Service

    read = read_config(Path(config) if config is not None else None)
    address = server.parse_listen(listen)
    listening = server.listen_on(address, allow_remote)

    async def main() -> None:
        stopped = asyncio.Event()
        _stop_on_signals(signals, stopped)
        service = await Service.open(Path(data), read, rebuild)
        await server.serve(service, Path(data), listening, address.host, read, lambda at: _tell(at, as_json), stopped)

    with listening, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    return 0


def _stop_on_signals(signals: Signals, stopped: asyncio.Event) -> None:
    """Stop on the first signal, also on one already received; a second one ends the process."""
    import asyncio
    import os
    import signal

    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if stopped.is_set():
            os._exit(128 + number)
        stopped.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    if signals.received:
        stopped.set()


def _tell(at: ServedAt, as_json: bool) -> None:
    from crawler.cli.present import as_object
    from crawler.system.text import escape_unprintable

    if as_json:
        click.echo(as_object(at))
        return
    click.echo(f"crawler service at {at.url}/  (token: {escape_unprintable(at.token_file)})")
