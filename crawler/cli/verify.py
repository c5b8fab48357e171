"""`verify DIR`: read everything back and check it. Exit code 3 where something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crawler.cli.options import GENERATION, OUTPUT, with_options

if TYPE_CHECKING:
    from crawler.storage.verify import Audit


@click.command()
@click.argument("directory", metavar="DIR")
@with_options(GENERATION, OUTPUT[:1])
def verify(directory: str, generation: int | None, as_json: bool) -> int:
    """Read the crawl in DIR back and check that it is complete and intact."""
    from pathlib import Path

    from crawler.cli.present import as_object
    from crawler.errors import Corrupt
    from crawler.storage.crawl_files import repair_hint
    from crawler.storage.directory import CrawlDirectory
    from crawler.storage.generations import chosen
    from crawler.storage.verify import audit

    found = audit(CrawlDirectory.open_readonly(chosen(Path(directory), generation)))
    click.echo(as_object(found) if as_json else _in_words(found))
    if found.wrong:
        raise Corrupt(f"{directory} is damaged, problems found: {found.wrong:,}; {repair_hint(Path(directory))}")
    return 0


def _in_words(found: Audit) -> str:
    """The result as readable lines."""
    from crawler.core.endings import in_words
    from crawler.system.text import escape_unprintable, format_bytes

    verdict = "WRONG" if found.wrong else "fine"
    if not found.wrong:
        verdict = f"{verdict}, {found.state}"
    lines = [
        f"{verdict}: {found.urls:,} URLs fetched, {found.pages:,} pages, {format_bytes(found.bytes)} read back",
        f"  digest     {found.digest}",
    ]
    if found.incomplete_because:
        lines.append(f"  missed     {in_words(found.incomplete_because)}")
    if found.orphans:
        lines.append(f"  orphans    {found.orphans:,} records without a URL, left by a kill; they do no harm")
    if found.running is not None:
        lines.append(
            f"  running    process {found.running} is working on it; what it has stored meanwhile is not counted"
        )
    lines += [f"  problem    {escape_unprintable(problem)}" for problem in found.problems]
    if found.wrong > len(found.problems):
        lines.append(f"  problems   {found.wrong:,} in all")
    return "\n".join(lines)
