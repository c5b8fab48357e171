"""`report DIR...`: write the report of a crawl as one HTML file; several crawls are shown side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crawler.cli.options import GENERATION, with_options

if TYPE_CHECKING:
    from crawler.storage.directory import CrawlDirectory


@click.command()
@click.argument("directories", metavar="DIR...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE", help="Write here.  [DIR/report.html]")
@with_options(GENERATION)
def report(directories: tuple[str, ...], output: str | None, generation: int | None) -> int:
    """Write the report of the crawl in DIR, also while it runs; of several crawls one page side by side (-o).

    It is one HTML file that needs no network and no script: throughput, how URLs ended, errors, hosts, politeness,
    what stands out, under which conditions, and where the data lies.
    """
    from pathlib import Path

    from crawler.cli.html_file import check_html, write_html
    from crawler.errors import UsageError
    from crawler.report.broken_links import search
    from crawler.report.page import page
    from crawler.report.reading import look, read
    from crawler.report.side_by_side import beside
    from crawler.storage.directory import REPORT
    from crawler.system.text import escape_unprintable

    if len(directories) > 1 and output is None:
        raise UsageError("several crawls make one page side by side: name its file with -o FILE")
    crawls = [look(Path(name), generation) for name in directories]
    path = Path(output) if output is not None else crawls[0].path / REPORT
    check_html(path, "-o")
    told = [(read(crawl), _client(crawl)) for crawl in crawls]
    if len(crawls) == 1:
        told = [(search(told[0][0], crawls[0]), told[0][1])]
    write_html(path, page(*told[0]) if len(told) == 1 else beside(told), "-o")
    click.echo(f"  report     {escape_unprintable(str(path))}")
    return 0


def _client(crawl: CrawlDirectory) -> str:
    """The client of the last run, from its settings; "unknown" where its mode cannot be used here."""
    import variants
    from crawler.errors import UsageError

    try:
        return variants.client_of(crawl.settings)
    except (UsageError, ImportError):
        return "unknown"
