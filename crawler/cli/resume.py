"""`resume DIR`: continue a crawl. The same as `crawl --resume --out DIR`, but the crawl must exist."""

from __future__ import annotations

from typing import Any

import click

from crawler.cli.options import (
    AGAIN,
    CONFIGURATION,
    ENGINE,
    LIMITS,
    OUTPUT,
    POLITENESS,
    SEEDS,
    Sectioned,
    all_seeds,
    given,
    with_options,
)
from crawler.cli.signals import Signals


@click.command(cls=Sectioned)
@click.argument("directory", metavar="DIR")
@click.argument("urls", nargs=-1, metavar="[URL]...")
@with_options(ENGINE, POLITENESS, LIMITS, AGAIN, SEEDS, CONFIGURATION, OUTPUT)
@click.pass_obj
def resume(
    signals: Signals,
    /,
    directory: str,
    urls: tuple[str, ...],
    retry_failed: bool,
    retry_reason: tuple[str, ...],
    seed_file: str | None,
    add_seeds: bool,
    config: str | None,
    profile: str | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    log_format: str | None,
    **flags: Any,
) -> int:
    """Continue the crawl in DIR, in any mode and with any limits.

    A crawl that is over fetches again what ended with an error; a complete one only prints its summary. The scope of a
    crawl and its store cannot change. --add-seeds crawls from these URLs too: their hosts are in scope for pages that
    are fetched from now on, and a URL that is known keeps its depth.
    """
    seeds = all_seeds(urls, seed_file, signals)
    signals.hold()
    from pathlib import Path

    from crawler.cli.crawl import carry_out
    from crawler.cli.plan import Order
    from crawler.storage.directory import CrawlDirectory
    from crawler.storage.reopening import Wanted

    CrawlDirectory.open_readonly(Path(directory))
    wanted = Wanted(retry_failed, retry_reason, add_seeds)
    order = Order(given(flags | {"out": directory, "seeds": seeds}), config, profile, resume=True, wanted=wanted)
    return carry_out(order, signals, as_json, quiet, log_format, verbose)
