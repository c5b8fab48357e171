"""Which pages link to some URLs: the first few of each, in the order of the pages' URLs.

Rules:
- The order is that of the URLs, not of the crawl: two crawls of one site name the same pages.
- Pages are read in that order, until every URL has its `most` or the time is up. What was found by then is right, and
  may lack later pages; `complete` tells.
- What is wanted and what is found lies in a temporary database, which SQLite moves to the disk as it grows: memory is
  bounded, however many URLs are wanted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from time import monotonic

from crawler.storage.stored_crawl import StoredCrawl

MOST = 5
"""Pages that are named for a URL, if nothing else is asked for."""
FOUND = """UPDATE linking SET pages = pages || ' ' || ?1, count = count + 1
    WHERE url = ?2 AND url != ?1 AND count < ?3"""


class LinkingPages:
    """The pages that link to the URLs `wanted`, at most `most` of each. Call `search` once, then `of`."""

    def __init__(self, wanted: Iterable[str], most: int = MOST) -> None:
        self._most = most
        self.complete = False
        self._table = sqlite3.connect("", isolation_level=None)
        self._table.execute(
            "CREATE TABLE linking (url TEXT PRIMARY KEY, count INTEGER DEFAULT 0, pages TEXT DEFAULT '') WITHOUT ROWID"
        )
        self._table.execute("BEGIN")
        self._table.executemany("INSERT OR IGNORE INTO linking (url) VALUES (?)", ((url,) for url in wanted))

    def search(self, crawl: StoredCrawl, seconds: float = float("inf")) -> None:
        """Read the pages of a crawl, for at most so many seconds (and one page). Raises StorageError, Corrupt."""
        until = monotonic() + seconds
        lacking = self._most * self._table.execute("SELECT count(*) FROM linking").fetchone()[0]
        rows = crawl.urls(by_url=True)
        while lacking and (row := next(rows, None)) is not None:
            if monotonic() > until:
                return
            found = [(row.url, target, self._most) for target in crawl.targets(row)]
            if found:
                lacking -= self._table.executemany(FOUND, found).rowcount
        self.complete = True

    def of(self, url: str) -> list[str]:
        """The pages that link to a URL that was wanted."""
        with closing(self._table.execute("SELECT pages FROM linking WHERE url = ?", (url,))) as rows:
            found = rows.fetchone()
        return str(found[0]).split() if found else []

    def close(self) -> None:
        """Remove the temporary database."""
        self._table.close()
