"""Audits the politeness of the last run, as far as the times of stored pages show it.

Rules, and why:
- A record has the time of its last byte and the duration of the fetch, hence its start. Both can only be recorded late,
  not early, and the Crawl counts a rest from an even later moment. So a gap that is too small here was too small.
- The reverse does not hold. Redirects, errors, repeated attempts and robots.txt leave no record with a time, so there
  may have been a request between two pages. Only the server's log can prove that there was none.
- Records that no URL names (left by a kill) were requested too, so they count.
- At most MOST records are checked, the newest of each part, so that a report does not read a terabyte.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from crawler.errors import StorageError
from crawler.report.facts import TOP, PolitenessFacts, Rest
from crawler.report.frontier_facts import HOST
from crawler.settings import Settings
from crawler.storage.database import connect_to_read, storage_errors

MOST = 100_000
SLACK = 0.001
DRIFT = 0.001
"""Tolerated clock error: `SLACK` seconds, plus `DRIFT` per second of rest (clocks may be adjusted during a run)."""

VISITS = "CREATE TEMP TABLE visit (host TEXT NOT NULL, start REAL NOT NULL, landed REAL NOT NULL)"
GAPS = """CREATE TEMP TABLE treated AS
WITH following AS (
    SELECT host, start - max(landed) OVER (
        PARTITION BY host ORDER BY start, landed ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS gap FROM visit
), step AS (
    SELECT host, start AS at, 1 AS change FROM visit UNION ALL SELECT host, landed, -1 FROM visit
), under_way AS (
    SELECT host, sum(change) OVER (PARTITION BY host ORDER BY at, change ROWS UNBOUNDED PRECEDING) AS many FROM step
), most AS (SELECT host, max(many) AS at_once FROM under_way GROUP BY host)
SELECT host, count(*) AS pages, max(?, min(coalesce(noted.delay, 0), ?)) AS owed, min(gap) AS gap, at_once
FROM following JOIN most USING (host) LEFT JOIN (
    SELECT host, max(delay) AS delay FROM host GROUP BY host
) AS noted USING (host) GROUP BY host"""
BREACH = f"owed > 0 AND coalesce(gap < owed * {1 - DRIFT} - {SLACK}, 0)"


def audit(connection: sqlite3.Connection, parts: Path, settings: Settings, most: int = MOST) -> PolitenessFacts:
    """Audit the newest run that stored pages. `connection` reads the frontier; its temporary tables hold the work.
    `most` is the maximum number of records read."""
    newest = max((path.stem[:4] for path in parts.glob("*.sqlite")), default="")
    paths = sorted(parts.glob(f"{newest}-*.sqlite")) if newest else []
    if not paths:
        return PolitenessFacts()
    connection.execute(VISITS)
    older = unread = 0
    for path in paths:
        try:
            older += _take(connection, path, most // len(paths))
        except StorageError:  # a part that a worker is creating, or a damaged one, which `verify` reports
            unread += 1
    connection.execute(GAPS, (settings.delay, settings.crawl_delay_cap))
    seen, pages, owed_rest, breaches, at_once = connection.execute(
        f"SELECT count(*), coalesce(sum(pages), 0), coalesce(sum(owed > 0), 0), coalesce(sum({BREACH}), 0),"
        " coalesce(max(at_once), 0) FROM treated"
    ).fetchone()
    rests = connection.execute(
        f"SELECT host, pages, owed, gap, at_once, {BREACH} FROM treated ORDER BY owed = 0, gap IS NULL,"
        f" CASE WHEN owed > 0 THEN gap / owed ELSE -at_once END, host LIMIT {TOP}"
    )
    return PolitenessFacts(
        run=int(newest),
        pages=pages,
        older=older,
        unread=unread,
        hosts=seen,
        owed_rest=owed_rest,
        breaches=breaches,
        at_once=at_once,
        rests=tuple(Rest(host, seen, owed, gap, many, bool(breach)) for host, seen, owed, gap, many, breach in rests),
    )


def _take(connection: sqlite3.Connection, path: Path, most: int) -> int:
    """Copy the times of a part's newest records; returns the number of older ones. Raises StorageError."""
    with closing(connect_to_read(path)) as part, storage_errors(path):
        connection.executemany("INSERT INTO visit VALUES (?, ?, ?)", _newest(part, most))
        there: int = part.execute("SELECT count(*) FROM page").fetchone()[0]
    return max(0, there - most)


def _newest(part: sqlite3.Connection, most: int) -> Iterator[tuple[str, float, float]]:
    query = f"SELECT {HOST}, fetched_at - seconds, fetched_at FROM page ORDER BY position DESC LIMIT ?"
    yield from part.execute(query, (most,))
