"""`diff DIR`: what changed between two generations of a crawl, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from crawler.cli.options import OUTPUT, with_options

if TYPE_CHECKING:
    from pathlib import Path

    from crawler.storage.diff import GenerationDiff

MOST = 20
"""URLs that are listed of each kind."""


@click.command()
@click.argument("directory", metavar="DIR")
@click.option("--from", "older", type=int, metavar="N", help="The older generation.  [the one before]")
@click.option("--to", "newer", type=int, metavar="N", help="The newer generation.  [the last]")
@click.option("--text", metavar="URL", help="Show the changes in the main text of this page instead.")
@click.option("-o", "--output", metavar="FILE", help="Write it as a page of HTML, too.")
@with_options(OUTPUT[:1])
def diff(
    directory: str, older: int | None, newer: int | None, text: str | None, output: str | None, as_json: bool
) -> int:
    """Show what changed in the crawl in DIR: pages that are new, gone, changed or moved.

    A page changed where its main text, title, status, canonical URL, noindex or links did; a clock in its footer is no
    change. Trouble makes a page uncertain, never gone. Exits 0 whether or not something changed.
    """
    from pathlib import Path

    from crawler.cli.present import as_object
    from crawler.storage.diff import diff as compare
    from crawler.storage.diff import diff_of_text
    from crawler.system.text import escape_unprintable

    root = Path(directory)
    if text is not None:
        for line in diff_of_text(root, text, older, newer):
            click.echo(escape_unprintable(line))
        return 0
    found = compare(root, older, newer)
    if output is not None:
        _write(found, Path(output), directory)
    click.echo(as_object(found) if as_json else "\n".join(lines(found, directory)))
    return 0


def _write(found: GenerationDiff, path: Path, directory: str) -> None:
    from crawler.errors import StorageError
    from crawler.report.diff_page import diff_page
    from crawler.report.writing import replace

    try:
        replace(path, diff_page(found, directory))
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}; choose another file with -o") from error


def lines(found: GenerationDiff, directory: str) -> Iterator[str]:
    """The result as readable lines, at most MOST URLs of each kind."""
    import shlex

    from crawler.system.invocation import called
    from crawler.system.text import escape_unprintable, format_bytes

    same = found.unchanged
    yield f"generation {found.older} to {found.newer}: {_counts(found)}"
    yield (
        f"  unchanged  {same.pages:,} pages: {same.not_modified:,} not sent again (304), {same.same_digest:,} the same"
        f" body, {same.same_content:,} the same content in another body"
    )
    yield f"  saved      {format_bytes(found.bytes_saved)} of bodies, in {found.urls:,} fetches"
    if found.not_asked:
        yield f"  not asked  {found.not_asked:,} known pages (revisit): whether they changed is not known"
    if not found.complete:
        yield "  note       the newer generation missed something: what it did not reach is uncertain, not gone"
    yield from _listed("new", found.new)
    yield from _listed("gone", [f"{one.url}  ({one.why})" for one in found.gone])
    yield from _listed("changed", [f"{one.url}  ({', '.join(one.what)})" for one in found.changed])
    yield from _listed("moved", [f"{one.url}  -> {one.to}" for one in found.moved])
    yield from _listed("uncertain", [f"{one.url}  ({one.why})" for one in found.uncertain])
    if any("main_text" in one.what for one in found.changed):
        name = escape_unprintable(shlex.quote(directory))
        yield f"\nthe text of one page: {called()} diff {name} --from {found.older} --to {found.newer} --text URL"


def _counts(found: GenerationDiff) -> str:
    kinds: Sequence[tuple[str, Sequence[object]]] = (
        ("new", found.new),
        ("gone", found.gone),
        ("changed", found.changed),
        ("moved", found.moved),
        ("uncertain", found.uncertain),
    )
    return ", ".join(f"{len(pages):,} {kind}" for kind, pages in kinds)


def _listed(kind: str, urls: Sequence[str]) -> Iterable[str]:
    from crawler.system.text import escape_unprintable

    if urls:
        yield f"\n{kind}"
        yield from (f"  {escape_unprintable(url)}" for url in urls[:MOST])
    if len(urls) > MOST:
        yield f"  and {len(urls) - MOST:,} more (--json has all)"
