"""One stage of a crawl alone, on the real pages of an existing crawl.

- parse: decode every stored body and extract its links.
- store: put every stored page into a new store, compressed, and flush it as often as a crawl does.
- frontier: admit and settle every URL in a new frontier, in batches of a crawl's size; reported per row.

Finer ones, for the budget (crawler/bench/budget.py):
- parse_cost: look whether a page is costly to parse.
- tree: make the tree of every page, without reading it.
- links: the same, and read the links off the tree and resolve them.
- fingerprint: the same, and the two fingerprints and the digest of each page.
- decide: the whole crawl in the core alone, from the links of its pages; reported per URL.

`python -m crawler.bench.stages STAGE CRAWL FOLDER` in a fresh process; it writes only below FOLDER.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from time import time

from msgspec.structs import replace

from crawler.bench.child_result import print_result
from crawler.core.bounds import Bounds
from crawler.core.crawl import Crawl
from crawler.core.messages import Discovered, Event, Fetched, Link, Settled
from crawler.core.page.charsets import parse_page
from crawler.core.page.digest import term
from crawler.core.page.links import PageHeaders, fingerprint_of, read_page
from crawler.core.page.outlinks import links_of
from crawler.core.page.parse_cost import is_expensive
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
IN_FLIGHT = 32
STEP = 0.01  # seconds between two steps of the core
GONE = Fetched(0, 404)


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


def parse_cost(pages: list[Page]) -> None:
    """Look at every page."""
    for page in pages:
        is_expensive(page.body)


def tree(pages: list[Page]) -> None:
    """Make the tree of every page."""
    for page in pages:
        parse_page(page.body, "")


def links(pages: list[Page], settings: Settings) -> None:
    """Make the tree of every page, and read its links."""
    resolver = Resolver(Scope(settings, settings.seeds).admits_path)
    for page in pages:
        links_of(parse_page(page.body, ""), page.url, settings, resolver, (), ())


def fingerprint(pages: list[Page], settings: Settings) -> None:
    """Make the tree of every page, read its links, compute both fingerprints and the digest."""
    resolver = Resolver(Scope(settings, settings.seeds).admits_path)
    for page in pages:
        document = parse_page(page.body, "")
        found = links_of(document, page.url, settings, resolver, (), ())
        fingerprint_of(document, page.url, found.links)
        term(page.url, page.status, page.body)


def decide(settings: Settings, seeds: tuple[str, ...], answers: dict[str, Fetched]) -> None:
    """Crawl in the core alone: every fetch is answered at once. `answers`: what each URL brought."""
    crawl, now = Crawl(settings, Scope(settings, seeds), 1, Bounds()), 0.0
    actions = crawl.step([Discovered(seeds)], room=IN_FLIGHT, now=now)
    while actions.ending is None:
        now += STEP
        events: list[Event] = [replace(answers.get(fetch.url, GONE), id=fetch.id) for fetch in actions.fetches]
        actions = crawl.step(events, room=IN_FLIGHT, now=now)


def answers_of(pages: list[Page], settings: Settings) -> dict[str, Fetched]:
    """What the core is told of each page."""
    resolver, found = Resolver(Scope(settings, settings.seeds).admits_path), dict[str, Fetched]()
    for page in pages:
        headers = PageHeaders(page.content_type)
        reading = read_page(page.body, page.url, headers, settings, resolver, True, True)
        digest = term(page.url, page.status, page.body)
        found[page.url] = Fetched(
            0, page.status, reading.links, size=len(page.body), digest=digest, fingerprint=reading.fingerprint
        )
    return found


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
    if stage == "decide":
        answers = answers_of(pages, settings)
        urls = {*answers, *(link for answer in answers.values() for link in answer.links)}
        print_result(partial(decide, settings, settings.seeds, answers), len(urls))
        return
    print_result(_work(stage, pages, settings, folder), len(pages))


def _work(stage: str, pages: list[Page], settings: Settings, folder: Path) -> Callable[[], None]:
    """What a stage does with pages, once all that it needs is prepared."""
    match stage:
        case "parse":
            return partial(parse, pages, settings)
        case "store":
            return partial(store, pages, settings, folder)
        case "parse_cost":
            return partial(parse_cost, pages)
        case "tree":
            return partial(tree, pages)
        case "links":
            return partial(links, pages, settings)
        case "fingerprint":
            return partial(fingerprint, pages, settings)
    raise ValueError(f"no stage {stage!r}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
