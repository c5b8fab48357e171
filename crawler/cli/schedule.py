"""`schedule`: when the jobs of a running service are run."""

from __future__ import annotations

from typing import Any

import click

from crawler.cli.options import with_options
from crawler.cli.service_options import AS_JSON, SERVICE


@click.group()
def schedule() -> None:
    """Add, list and pause the schedules of a service that runs."""


@schedule.command()
@click.argument("job", metavar="JOB")
@click.argument("cron", metavar="CRON")
@click.option("--zone", metavar="NAME", default="UTC", show_default=True, help="A time zone, as Europe/Berlin.")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue", "cancel", "allow"]),
    default="skip",
    show_default=True,
    help="Where the run before has not ended.",
)
@click.option("--catchup", type=float, metavar="S", help="How late a run may still start, in seconds.  [3600]")
@click.option("--jitter", type=float, metavar="S", help="Put each run off by up to so many seconds.  [0]")
@click.option("--paused", is_flag=True, help="Begin paused.")
@with_options(SERVICE)
@AS_JSON
def add(
    job: str,
    cron: str,
    zone: str,
    overlap: str,
    catchup: float | None,
    jitter: float | None,
    paused: bool,
    data: str,
    url: str | None,
    token_file: str | None,
    as_json: bool,
) -> int:
    """Run JOB at the times of CRON, such as "0 3 * * *"."""
    from crawler.cli.service_client import connect

    spec = {"job": job, "cron": cron, "zone": zone, "overlap": overlap, "paused": paused}
    spec |= {key: value for key, value in (("catchup", catchup), ("jitter", jitter)) if value is not None}
    _tell(connect(data, url, token_file).ask("POST", "/schedules", spec), as_json)
    return 0


@schedule.command(name="list")
@with_options(SERVICE)
@AS_JSON
def list_schedules(data: str, url: str | None, token_file: str | None, as_json: bool) -> int:
    """List schedules with the time at which each is due next."""
    from crawler.cli.service_client import connect

    there = False
    for one in connect(data, url, token_file).every("/schedules"):
        there = True
        _tell(one, as_json)
    if not there and not as_json:
        click.echo("no schedules")
    return 0


@schedule.command(name="next")
@click.argument("name", metavar="SCHEDULE")
@click.option("-n", "count", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many.")
@with_options(SERVICE)
@AS_JSON
def next_times(name: str, count: int, data: str, url: str | None, token_file: str | None, as_json: bool) -> int:
    """Print the next times of a schedule, in its zone."""
    from crawler.cli.present import as_object
    from crawler.cli.service_client import connect, quoted

    client = connect(data, url, token_file)
    found = client.ask("GET", f"/schedules/{quoted(name)}/next", n=count)["items"]
    if as_json:
        click.echo(as_object(found))
        return 0
    zone = client.ask("GET", f"/schedules/{quoted(name)}")["zone"]
    for at in found:
        click.echo(_moment(at, zone))
    return 0


@schedule.command()
@click.argument("name", metavar="SCHEDULE")
@with_options(SERVICE)
@AS_JSON
def pause(name: str, data: str, url: str | None, token_file: str | None, as_json: bool) -> int:
    """Pause a schedule: its times pass without a run."""
    return _change(name, "pause", data, url, token_file, as_json)


@schedule.command()
@click.argument("name", metavar="SCHEDULE")
@with_options(SERVICE)
@AS_JSON
def resume(name: str, data: str, url: str | None, token_file: str | None, as_json: bool) -> int:
    """Let a paused schedule go on."""
    return _change(name, "resume", data, url, token_file, as_json)


def _change(name: str, verb: str, data: str, url: str | None, token_file: str | None, as_json: bool) -> int:
    from crawler.cli.service_client import connect, quoted

    _tell(connect(data, url, token_file).ask("POST", f"/schedules/{quoted(name)}/{verb}"), as_json)
    return 0


def _tell(one: dict[str, Any], as_json: bool) -> None:
    from crawler.cli.present import as_object
    from crawler.system.text import escape_unprintable

    if as_json:
        click.echo(as_object(one))
        return
    due = (
        "paused" if one["paused"] else "never due" if one["next_due"] is None else _moment(one["next_due"], one["zone"])
    )
    click.echo(escape_unprintable(f"{one['id']}  {one['cron']:<16} {one['zone']:<16} {due}  {one['job']}"))


def _moment(at: float, zone: str) -> str:
    """A time in a zone of the IANA database; in UTC where this machine lacks the zone."""
    from contextlib import suppress
    from datetime import UTC, datetime, tzinfo
    from zoneinfo import ZoneInfo

    where: tzinfo = UTC
    with suppress(OSError, ValueError):
        where = ZoneInfo(zone)
    return f"{datetime.fromtimestamp(at, where):%a %Y-%m-%d %H:%M:%S %z}"
