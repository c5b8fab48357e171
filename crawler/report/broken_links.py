"""The broken links of a crawl: each URL that answered 4xx or 5xx, and the first pages that link to it.

Rules:
- The URLs are the first MOST_BROKEN in the order of URLs, the pages the first few in that order, so two crawls of one
  site tell the same.
- Who links to them is read from the stored bodies (crawler/storage/linking_pages.py), where there are any such URLs.
  The report at the end of a run may spend SHARE of its active time on that, and never less than LEAST: a polite crawl
  has time for all of its pages, a fast one for some. The report says where not all was searched; `report DIR` searches
  everything.
"""

from __future__ import annotations

import shlex
from contextlib import closing

from msgspec.structs import replace

from crawler.errors import StorageError
from crawler.report.facts import Facts
from crawler.report.html import NOTHING, card, remote, shared_origin, table, url
from crawler.storage.directory import CrawlDirectory
from crawler.storage.linking_pages import MOST, LinkingPages
from crawler.storage.stored_crawl import StoredCrawl

SHARE = 0.02
LEAST = 0.25
"""Seconds."""
LARGEST = 400_000
"""Letters of the table, which ends where more would be needed: URLs may be long."""


def at_the_end_of_a_run(facts: Facts) -> float:
    """Seconds that the report of a run that has just ended may search."""
    return max(LEAST, SHARE * facts.pace.seconds)


def search(facts: Facts, directory: CrawlDirectory, seconds: float = float("inf")) -> Facts:
    """The facts with the pages that link to broken URLs, found within so many seconds. Damaged pages end the search."""
    if not facts.broken:
        return facts
    with closing(LinkingPages(one.url for one in facts.broken)) as linking:
        try:
            with StoredCrawl(directory) as crawl:
                linking.search(crawl, seconds)
        except StorageError:
            pass  # the table says that not all pages were searched; `verify` says what is wrong
        found = tuple(replace(one, linked_from=tuple(linking.of(one.url))) for one in facts.broken)
        return replace(facts, broken=found, links_searched=linking.complete)


def broken_links(facts: Facts) -> str:
    """The table of broken links as HTML, "" where there are none."""
    if not facts.broken:
        return ""
    origin = shared_origin(one.url for one in facts.broken)
    rows, size = list[list[str]](), 0
    for one in facts.broken:
        pages = "<br>".join(url(page, origin=origin) for page in one.linked_from) or NOTHING
        row = [url(one.url, origin=origin), str(one.status), pages]
        size += sum(map(len, row))
        if size > LARGEST:
            break
        rows.append(row)
    every = sum(count for status, count in facts.tally.statuses.items() if status.startswith(("4", "5")))
    notes = [f"The first {MOST} pages that link there, in the order of URLs; a seed may have none."]
    if every > len(rows):
        notes.append(f"Not shown: {every - len(rows):,} more.")
    if not facts.links_searched:
        notes.append("Not all pages were searched for links: the time for that was up, or a page could not be read.")
    export = f"{facts.command} export {shlex.quote(facts.out)} --where 'status>=400' --fields url,status,linked_from"
    notes.append(f"All of it: <code>{remote(export, 600)}</code>.")
    about = "Broken links"
    head = ("URL", "Status", ":Linked from")
    return card(table(head, rows, about, origin), about) + f"<p class=note>{' '.join(notes)}</p>"
