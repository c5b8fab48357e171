"""One stage of a crawl alone, on the real pages of an existing crawl: parse, store or frontier.

- parse: decode every stored body and extract its links.
- store: put every stored page into a new store, compressed, and flush it as often as a crawl does.
- frontier: admit and settle every URL in a new frontier, in batches of a crawl's size; reported per row.

`python -m crawler.bench.stages STAGE CRAWL FOLDER` in a fresh process; it writes only below FOLDER.
"""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from time import time

from crawler.bench.child_result import print_result
from crawler.core.messages import Link, Settled
from crawler.core.page.links import PageHeaders, read_page
from crawler.core.urls.canonical import Resolver
from crawler.core.urls.scope import Scope
from crawler.runtime.recorder import CLOSE_AT
from crawler.settings import Settings
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.base import Batch
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.frontier.sqlite import SqliteFrontier
from crawler.storage.pages import open_store
from crawler.storage.pages.base import Page

MOST_PAGES = 5_000
"""Maximum number of pages, which are held in memory while a stage works on them."""


def parse(pages: list[Page], settings: Settings) -> None:
    """Read every page as a crawl does."""
    resolver = Resolver(Scope(settings, settings.seeds).admits_path)
    for page in pages:
        read_page(page.body, page.url, PageHeaders(page.content_type), settings, resolver, True)


def store(pages: list[Page], settings: Settings, folder: Path) -> None:
    """Store every page."""
    with closing(open_store(settings.store, folder).writer("bench")) as writer:
        for number, page in enumerate(pages, 1):
            writer.put(page)
            if number % CLOSE_AT == 0:
                writer.flush()


def frontier(rows: list[SettledRow], folder: Path) -> None:
    """Admit and settle every URL."""
    with closing(SqliteFrontier(folder / "frontier.sqlite")) as kept:
        left = iter(rows)
        while some := list(islice(left, CLOSE_AT)):
            kept.commit(Batch(queued=[_admitted(row) for row in some], settled=[_ended(row) for row in some]), time())


def _admitted(row: SettledRow) -> Link:
    return Link(row.id, row.url, row.depth)


def _ended(row: SettledRow) -> Settled:
    return Settled(
        row.id,
        row.url,
        row.reason,
        status=row.status,
        attempts=row.attempts,
        size=row.size,
        digest=row.digest,
        part=row.part,
        position=row.position,
        content_type=row.content_type,
        seconds=row.seconds,
    )


def main(stage: str, crawl: Path, folder: Path) -> None:
    """Run one stage and print its result."""
    directory = CrawlDirectory.open_readonly(crawl)
    settings, kept = directory.settings, directory.store()
    if stage == "frontier":
        with closing(directory.open_frontiers()) as old:
            rows = list(old.settled())
        print_result(partial(frontier, rows, folder), len(rows))
        return
    pages = [page for _, page in islice((one for part in kept.parts() for one in kept.pages(part)), MOST_PAGES)]
    print_result(
        partial(parse, pages, settings) if stage == "parse" else partial(store, pages, settings, folder), len(pages)
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
