"""`cat DIR URL`: the body of a stored page to stdout, byte for byte as it was stored: decoded, cut at `max_body`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crawler.cli.options import GENERATION, with_options

if TYPE_CHECKING:
    from crawler.storage.pages.base import Page
    from crawler.storage.stored_crawl import StoredCrawl


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("url", metavar="URL")
@click.option("--headers", is_flag=True, help="Print its status and headers instead.")
@with_options(GENERATION)
def cat(directory: str, url: str, headers: bool, generation: int | None) -> int:
    """Print the body of the page that the crawl in DIR has stored of URL."""
    import sys

    from crawler.storage.stored_crawl import open as open_crawl
    from crawler.system.text import escape_unprintable

    with open_crawl(directory, generation) as crawl:
        page = _page(crawl, url)
    if headers:
        lines = (f"{name}: {value}" for name, value in page.headers)
        click.echo("\n".join(map(escape_unprintable, (f"HTTP {page.status}", *lines))))
        return 0
    sys.stdout.buffer.write(page.body)
    sys.stdout.buffer.flush()
    if page.truncated:
        click.echo(f"warning: the stored body is not whole ({page.truncated})", err=True)
    return 0


def _page(crawl: StoredCrawl, url: str) -> Page:
    """The stored page of a URL. Raises UsageError, which says what became of the URL, where there is none."""
    from crawler.errors import UsageError
    from crawler.system.invocation import called
    from crawler.system.text import escape_unprintable

    shown = escape_unprintable(url)
    row = crawl.find(url)
    if row is None:
        why = "is known and not fetched yet" if crawl.is_owed(url) else "was not found by this crawl"
        raise UsageError(f"{shown} {why}; what it has: {called()} export DIR --fields url")
    if row.part:
        return crawl.read(row)
    status = f" (status {row.status})" if row.status else ""
    more = f": {escape_unprintable(row.detail)}" if row.detail else ""
    raise UsageError(f"{shown} has no stored page; it ended with {row.reason.value}{status}{more}")
