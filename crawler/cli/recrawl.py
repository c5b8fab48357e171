"""`recrawl DIR`: crawl again what a directory has, as its next generation."""

from __future__ import annotations

from typing import Any

import click

from crawler.cli.options import CONFIGURATION, ENGINE, LIMITS, OUTPUT, POLITENESS, Sectioned, given, with_options
from crawler.cli.signals import Signals

KEEP = click.option(
    "--keep", "keep_generations", type=int, metavar="N", help="Keep the last N generations, drop older ones.  [all]"
)

REVISIT = (
    click.option(
        "--revisit",
        type=click.Choice(["all", "adaptive"]),
        help="Ask for all known pages, or for those that are due by how often they changed.  [all]",
    ),
    click.option(
        "--revisit-budget", type=int, metavar="N", help="With adaptive: ask for N known pages, the most valuable ones."
    ),
)


@click.command(cls=Sectioned)
@click.argument("directory", metavar="DIR")
@KEEP
@with_options(REVISIT, ENGINE, POLITENESS, LIMITS, CONFIGURATION, OUTPUT)
@click.pass_obj
def recrawl(
    signals: Signals,
    /,
    directory: str,
    config: str | None,
    profile: str | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    log_format: str | None,
    **flags: Any,
) -> int:
    """Crawl again what the crawl in DIR has, as its next generation: 1, 2, ...

    Every setting is that of the last generation, unless a flag is given. Pages that did not change are neither sent
    (where the server can tell) nor stored again. A generation that was killed or stopped is continued. What changed:
    `diff DIR`.
    """
    signals.hold()
    from pathlib import Path

    from crawler.cli.crawl import carry_out
    from crawler.cli.plan import Order
    from crawler.storage.directory import CrawlDirectory

    CrawlDirectory.open_readonly(Path(directory))
    order = Order(given(flags | {"out": directory}), config, profile, resume=True, recrawl=True)
    return carry_out(order, signals, as_json, quiet, log_format, verbose)
