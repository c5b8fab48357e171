"""`repair DIR`: rebuild a damaged crawl from its readable parts, so that it can be resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crawler.cli.options import GENERATION, OUTPUT, with_options

if TYPE_CHECKING:
    from crawler.storage.repair import Repaired


@click.command()
@click.argument("directory", metavar="DIR")
@with_options(GENERATION, OUTPUT[:1])
def repair(directory: str, generation: int | None, as_json: bool) -> int:
    """Rebuild the crawl in DIR. The next run fetches again what is lost; damaged files are kept as .broken."""
    from contextlib import closing
    from pathlib import Path

    from crawler.cli.present import as_object
    from crawler.storage.directory import CrawlDirectory
    from crawler.storage.generations import folder_of, last_of
    from crawler.storage.repair import repair as rebuild

    path = Path(directory)
    crawl, lost_manifest = CrawlDirectory.rescue(last_of(path) if generation is None else folder_of(path, generation))
    with closing(crawl):
        done = rebuild(crawl, lost_manifest)
    click.echo(as_object(done) if as_json else _in_words(done))
    return 0


def _in_words(done: Repaired) -> str:
    """The result as readable lines."""
    import shlex

    from crawler.system.invocation import called
    from crawler.system.text import escape_unprintable

    if not done.rebuilt:
        return f"nothing to repair: {done.records:,} records and their rows are intact"
    return "\n".join(
        [
            f"repaired: {done.kept:,} settled URLs kept, {done.recovered:,} rebuilt from their pages",
            f"  owed       {done.owed:,} URLs, {done.again:,} of which had been settled",
            f"  broken     {escape_unprintable(', '.join(done.broken)) or 'no file'} (kept as .broken)",
            f"  resume     {called()} resume {escape_unprintable(shlex.quote(done.out))}",
        ]
    )
