"""`status DIR`: the progress of a crawl, even while another process works on it."""

from __future__ import annotations

import click

from crawler.cli.options import GENERATION, OUTPUT, with_options


@click.command()
@click.argument("directory", metavar="DIR")
@with_options(GENERATION, OUTPUT[:1])
def status(directory: str, generation: int | None, as_json: bool) -> int:
    """Show how far the crawl in DIR is, and which process works on it."""
    from pathlib import Path

    from msgspec.structs import asdict

    from crawler.cli.present import as_object
    from crawler.core.endings import in_words
    from crawler.core.reasons import Ending
    from crawler.metrics.summary import state
    from crawler.storage.directory import CrawlDirectory, come_to
    from crawler.storage.generations import chosen, generations
    from crawler.system.text import counts, escape_unprintable, format_bytes

    crawl = CrawlDirectory.open_readonly(chosen(Path(directory), generation))
    there = generations(Path(directory))
    tally, pid = crawl.tally(), crawl.lock_owner()
    reached = come_to(crawl.manifest, tally) if pid is None else None
    missed = tally.conclude().because
    mode = crawl.settings.mode
    if as_json:
        told = {"out": directory, "complete": False, "ending": None, "incomplete_because": missed}
        if reached is not None:
            told |= {"complete": reached.ending is Ending.COMPLETE, "ending": reached.ending}
        told |= {"running": pid, "mode": mode, "runs": crawl.manifest.runs, "owed": tally.owed}
        told |= {"generation": crawl.generation, "generations": there}
        click.echo(as_object(told | asdict(tally)))
        return 0
    click.echo(
        f"{escape_unprintable(directory)}: {state(reached, pid)}\n"
        f"  settled    {tally.settled:,} of {tally.queued:,} URLs, {tally.owed:,} still owed\n"
        f"  fetched    {tally.urls:,} URLs, {tally.pages:,} pages, {format_bytes(tally.bytes)}\n"
        f"  statuses   {counts(tally.statuses)}\n"
        f"  reasons    {counts(tally.reasons)}\n"
        + (f"  missed     {in_words(missed)}\n" if missed else "")
        + (f"  left out   {counts(tally.not_followed)} (links)\n" if tally.not_followed else "")
        + (f"  not asked  {tally.carried_over:,} known pages, which count as stored\n" if tally.carried_over else "")
        + (f"  too deep   {tally.too_deep:,} URLs beyond max_depth\n" if tally.too_deep else "")
        + (f"  paused     {counts(tally.pauses)}\n" if tally.pauses else "")
        + (f"  generation {crawl.generation} of {_listed(there)}\n" if len(there) > 1 else "")
        + f"  digest     {tally.digest}\n"
        f"  last run   number {crawl.manifest.runs}, mode {mode}"
    )
    return 0


def _listed(numbers: list[int]) -> str:
    """Numbers, the first and the last of a longer list."""
    return ", ".join(map(str, numbers)) if len(numbers) < 10 else f"{numbers[0]} to {numbers[-1]}"
