"""Audits the politeness of the last run, as far as the times of stored pages show it.

Rules, and why:
- A record has the time of its last byte and the duration of the fetch, hence its start. Both can only be recorded late,
  not early, and the Crawl counts a rest from an even later moment. So a gap that is too small here was too small.
- The reverse does not hold. Redirects, errors, repeated attempts and robots.txt leave no record with a time, so there
  may have been a request between two pages. Only the server's log can prove that there was none.
- The times are those that crawler/report/visits.py has copied: the newest of each part.
"""

from __future__ import annotations

import sqlite3

from crawler.report.facts import TOP, PolitenessFacts, Rest
from crawler.report.visits import Visits
from crawler.settings import Settings

SLACK = 0.001
DRIFT = 0.001
"""Tolerated clock error: `SLACK` seconds, plus `DRIFT` per second of rest (clocks may be adjusted during a run)."""

GAPS = """CREATE TEMP TABLE treated AS
WITH asked AS (
    SELECT host, start, landed FROM visit WHERE CAST(substr(part, 1, 4) AS INTEGER) = ?
), following AS (
    SELECT host, start - max(landed) OVER (
        PARTITION BY host ORDER BY start, landed ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS gap FROM asked
), step AS (
    SELECT host, start AS at, 1 AS change FROM asked UNION ALL SELECT host, landed, -1 FROM asked
), under_way AS (
    SELECT host, sum(change) OVER (PARTITION BY host ORDER BY at, change ROWS UNBOUNDED PRECEDING) AS many FROM step
), most AS (SELECT host, max(many) AS at_once FROM under_way GROUP BY host)
SELECT host, count(*) AS pages, max(?, min(coalesce(noted.delay, 0), ?)) AS owed, min(gap) AS gap, at_once
FROM following JOIN most USING (host) LEFT JOIN (
    SELECT host, max(delay) AS delay FROM host GROUP BY host
) AS noted USING (host) GROUP BY host"""
BREACH = f"owed > 0 AND coalesce(gap < owed * {1 - DRIFT} - {SLACK}, 0)"


def audit(connection: sqlite3.Connection, visits: Visits, settings: Settings) -> PolitenessFacts:
    """Audit the newest run that stored pages, from the temporary table `visit` of a connection that reads the frontier.
    `visits`: what that table has."""
    connection.execute(GAPS, (visits.run, settings.delay, settings.crawl_delay_cap))
    seen, pages, owed_rest, breaches, at_once = connection.execute(
        f"SELECT count(*), coalesce(sum(pages), 0), coalesce(sum(owed > 0), 0), coalesce(sum({BREACH}), 0),"
        " coalesce(max(at_once), 0) FROM treated"
    ).fetchone()
    rests = connection.execute(
        f"SELECT host, pages, owed, gap, at_once, {BREACH} FROM treated ORDER BY owed = 0, gap IS NULL,"
        f" CASE WHEN owed > 0 THEN gap / owed ELSE -at_once END, host LIMIT {TOP}"
    )
    return PolitenessFacts(
        run=visits.run,
        pages=pages,
        older=visits.older,
        unread=visits.unread,
        hosts=seen,
        owed_rest=owed_rest,
        breaches=breaches,
        at_once=at_once,
        rests=tuple(Rest(host, seen, owed, gap, many, bool(breach)) for host, seen, owed, gap, many, breach in rests),
    )
