"""The `lastmod` of the sitemaps of a crawl, and whether it tells when pages changed: for DIR/known.sqlite.

Rules:
- They are read from the stored sitemaps of a generation when that is learnt. So a date decides in the re-crawl after
  the one that fetched its sitemap; and where it was fetched at all, because sitemaps are always asked for.
- A sitemap dates only pages of its own host: no other may make a host look trustworthy, or its pages due.
- A page's `told_at` is the date of the last sitemap that has it; `lastmod` is what that was at its last visit. Where
  the first is later it has moved. Whether that counts is decided by crawler/core/revisit/lastmod.py.
- MOST sitemaps of a generation are read; how many URLs and bytes of each is limited as in a crawl. A date that is not
  valid (https://www.w3.org/TR/NOTE-datetime) counts as absent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime

from crawler.core.messages import SitemapKind
from crawler.core.page.sitemap import SitemapReader, sitemap_kind
from crawler.core.revisit.lastmod import LastmodScore
from crawler.core.rules import Rules
from crawler.core.urls.canonical import host_of, resolve
from crawler.core.urls.normalization import normalizer
from crawler.errors import Corrupt
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.pages.base import Store

COLUMNS = """
    told_at REAL NOT NULL DEFAULT 0,
    lastmod REAL NOT NULL DEFAULT 0,
"""
"""Of a page, in Unix seconds, 0 where no sitemap dates it."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS lastmod_score (host TEXT PRIMARY KEY, moved INTEGER NOT NULL, changed INTEGER NOT NULL);
CREATE TEMP TABLE visited (url TEXT PRIMARY KEY, changed INTEGER NOT NULL) WITHOUT ROWID;
"""
TELL = "UPDATE page SET told_at = ?2 WHERE url = ?1"
VISITED = "INSERT OR REPLACE INTO visited VALUES (?, ?)"
MOVED = """SELECT url, visited.changed FROM visited JOIN page USING (url) WHERE lastmod > 0 AND told_at > lastmod
    ORDER BY url"""
REMEMBER = "UPDATE page SET lastmod = told_at WHERE url IN (SELECT url FROM visited)"
KEEP = "INSERT OR REPLACE INTO lastmod_score VALUES (?, ?, ?)"
SCORES = "SELECT host, moved, changed FROM lastmod_score"
MOST = 2000


def may_be_sitemap(row: SettledRow) -> bool:
    """Whether the page of a row may be a sitemap, by its type or its name: only such bodies are read."""
    return bool(row.part) and ("xml" in row.content_type or row.url.endswith((".xml", ".gz")))


def learn(connection: sqlite3.Connection, sitemaps: list[SettledRow], store: Store, rules: Rules) -> None:
    """Store what the sitemaps of a generation date, and how true that was of the pages in the table `visited`, in the
    transaction of the caller. Empties that table."""
    for row in sitemaps:
        connection.executemany(TELL, _dates(row, store, rules))
    scores = scores_of(connection)
    for url, changed in connection.execute(MOVED):
        name = host_of(url)
        scores[name] = scores.get(name, LastmodScore()).after(moved=True, changed=bool(changed))
    connection.executemany(KEEP, ((name, score.moved, score.changed) for name, score in scores.items()))
    connection.execute(REMEMBER)
    connection.execute("DELETE FROM visited")


def scores_of(connection: sqlite3.Connection) -> dict[str, LastmodScore]:
    """How often the dates of each host's sitemaps moved, and how often the content had changed then."""
    return {name: LastmodScore(moved, changed) for name, moved, changed in connection.execute(SCORES)}


def _dates(row: SettledRow, store: Store, rules: Rules) -> Iterator[tuple[str, float]]:
    """The pages that a sitemap dates, with the Unix time."""
    try:
        body = store.read(row.part, row.position).body
    except (KeyError, Corrupt):
        return
    if sitemap_kind(body) is not SitemapKind.PAGES:
        return
    ours, respell = host_of(row.url), normalizer(rules)
    for written, date in SitemapReader(body, dated=True).lastmods.items():
        url = respell(resolve(row.url, written) or "")
        at = _unix(date)
        if at is not None and url and host_of(url) == ours:
            yield url, at


def _unix(date: str) -> float | None:
    try:
        moment = datetime.fromisoformat(date)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
