"""When the pages of DIR/known.sqlite were visited and found changed, and which of them a re-crawl carries over.

Rules:
- A visit is an answer with the page, or a 304. Trouble is no visit, so the page stays due. A page that was carried over
  was not visited.
- A page has changed where `diff` would say so (crawler/core/changes/page_facts.py): a clock in a footer is no change.
  Only pages whose digests differ are parsed for that, and none with a body of more than LARGEST bytes.
- The choice of a generation is stored in the table `chosen`, once, with what was not chosen (`carried`) in one
  transaction. A choice that was lost with the file is made again for the same moment, which is in the manifest.
- Seeds are not chosen among: they are asked for anyway.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from crawler.core.changes.page_facts import PageFacts, differences, page_facts
from crawler.core.page.links import page_headers
from crawler.core.revisit.change_rate import NO_DATE, Observation, remembered
from crawler.core.revisit.choice import candidates, hosts_of
from crawler.core.revisit.due import Known, RevisitBounds, stepped
from crawler.core.revisit.worth import Candidate, chosen
from crawler.errors import Corrupt
from crawler.storage import lastmods
from crawler.storage.pages.base import Page, Store

COLUMNS = """
    visited_at REAL NOT NULL DEFAULT 0,
    step REAL NOT NULL DEFAULT 0,
    visits BLOB,
    due_at REAL NOT NULL DEFAULT 0,
    carried INTEGER NOT NULL DEFAULT 0,
"""
"""Of a page: the Unix time of the last visit, the interval of the rule for few visits in seconds, what the visits
found, the Unix time at which it is due, and the last generation that carries it over."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS chosen (generation INTEGER PRIMARY KEY, at REAL NOT NULL);
CREATE TEMP TABLE due (url TEXT PRIMARY KEY, due_at REAL NOT NULL) WITHOUT ROWID;
CREATE TEMP TABLE asked (url TEXT PRIMARY KEY) WITHOUT ROWID;
"""
BEFORE = "SELECT digest, body, visited_at, step, visits FROM page WHERE url = ?"
VISIT = "UPDATE page SET visited_at = ?2, step = ?3, visits = ?4 WHERE url = ?1"
CARRIED = "SELECT url FROM page WHERE carried = ?"
CANDIDATES = (
    "SELECT url, visited_at, step, visits, lastmod > 0 AND told_at > lastmod FROM page WHERE depth > 0 ORDER BY url"
)
DECIDE = """UPDATE page SET due_at = due.due_at,
    carried = CASE WHEN page.url IN (SELECT url FROM asked) THEN 0 ELSE ?1 END FROM due WHERE due.url = page.url"""
LARGEST = 4 << 20

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Observation, ...]).decode


class Before(msgspec.Struct, frozen=True):
    """What was known of a page before a visit: its digest, the record with its body ("N/PART:POSITION"), and its
    visits."""

    digest: bytes
    body: str
    known: Known


def before(connection: sqlite3.Connection, url: str) -> Before | None:
    """What is known of a page; None where nothing is."""
    row = connection.execute(BEFORE, (url,)).fetchone()
    return None if row is None else Before(row[0], row[1], _known(*row[2:]))


def visited(
    connection: sqlite3.Connection, url: str, earlier: Before | None, at: float, changed: bool, last_modified: str
) -> None:
    """Store that a page was visited at the Unix time `at`, and whether it had changed since the visit before."""
    bounds = RevisitBounds()
    since = _seconds_since(last_modified, at)
    if earlier is None or not earlier.known.visited_at:
        known = Known(at, bounds.first, (Observation(0.0, True, since),) if since >= 0.0 else ())
    else:
        gap = max(at - earlier.known.visited_at, 0.0)
        visits = remembered(earlier.known.visits, Observation(gap, changed, since))
        known = Known(at, stepped(earlier.known.interval, changed, bounds), visits)
    connection.execute(lastmods.VISITED, (url, changed))
    connection.execute(VISIT, (url, known.visited_at, known.interval, _encode(known.visits)))


def has_changed(store: Store, earlier: Before, part: str, position: int) -> bool:
    """Whether a page whose digest differs from that of the visit before reads differently. It counts as changed where
    one of the two cannot be read."""
    older, _, place = earlier.body.rpartition(":")
    try:
        before, after = store.read(older, int(place)), store.read(part, position)
    except (KeyError, ValueError, Corrupt):
        return True
    if max(len(before.body), len(after.body)) > LARGEST:
        return True
    return bool(differences(_facts(before), _facts(after)))


def choose(
    connection: sqlite3.Connection, generation: int, at: float, budget: int | None, bounds: RevisitBounds
) -> None:
    """Choose what a generation asks for at the Unix time `at`, in the transaction of the caller. Done once."""
    if connection.execute("SELECT 1 FROM chosen WHERE generation = ?", (generation,)).fetchone():
        return
    connection.execute("DELETE FROM due")
    connection.execute("DELETE FROM asked")
    hosts = hosts_of(_pages(connection))

    def noted() -> Iterator[Candidate]:
        for one in candidates(_pages(connection), hosts, bounds, at, lastmods.scores_of(connection)):
            connection.execute("INSERT INTO due VALUES (?, ?)", (one.url, one.due_at))
            yield one

    asked = chosen(noted(), budget, at)
    connection.executemany("INSERT INTO asked VALUES (?)", ((url,) for url in asked))
    connection.execute(DECIDE, (generation,))
    connection.execute("INSERT INTO chosen VALUES (?, ?)", (generation, at))


def _pages(connection: sqlite3.Connection) -> Iterator[tuple[str, Known]]:
    for url, *known in connection.execute(CANDIDATES):
        yield url, _known(*known)


def _known(visited_at: float, step: float, visits: bytes | None, moved: int = 0) -> Known:
    return Known(visited_at, step, _decode(visits) if visits else (), bool(moved))


def _facts(page: Page) -> PageFacts:
    return page_facts(page.status, page.body, page.url, page_headers(page.headers), page.noindex)


def _seconds_since(last_modified: str, at: float) -> float:
    """Seconds from a date of HTTP to the Unix time `at`; NO_DATE where there is no valid date, or one of the future."""
    if not last_modified:
        return NO_DATE
    try:
        date = parsedate_to_datetime(last_modified)
    except (ValueError, OverflowError):
        return NO_DATE
    seconds = at - (date if date.tzinfo else datetime.combine(date.date(), date.time(), UTC)).timestamp()
    return max(seconds, 0.0) if seconds > -60.0 else NO_DATE
