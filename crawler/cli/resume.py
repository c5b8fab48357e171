"""`resume DIR`: go on with a crawl; the same as `crawl --resume --out DIR`, but there must be one."""

from __future__ import annotations

from typing import Any

import click

from crawler.cli.options import CONFIGURATION, ENGINE, LIMITS, OUTPUT, POLITENESS, given, with_options
from crawler.cli.signals import Signals


@click.command()
@click.argument("directory", metavar="DIR")
@with_options(ENGINE, POLITENESS, LIMITS, CONFIGURATION, OUTPUT)
@click.pass_obj
def resume(
    signals: Signals,
    /,
    directory: str,
    config: str | None,
    profile: str | None,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Go on with the crawl in DIR, in any mode and with any limits.

    A finished crawl is only summed up. Which URLs belong to it and how pages are kept cannot change.
    """
    signals.hold()
    from pathlib import Path

    from crawler.cli.crawl import carry_out
    from crawler.cli.plan import Order
    from crawler.directory import CrawlDirectory

    CrawlDirectory.look(Path(directory))
    return carry_out(Order(given(flags | {"out": directory}), config, profile, resume=True), signals, as_json, quiet)
