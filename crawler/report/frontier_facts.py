"""Facts from the frontier of a crawl, aggregated by SQLite, so that memory use does not grow with the crawl.

Rules:
- One read transaction on a read-only connection: all figures of a live crawl are of the same moment, and nothing is
  checkpointed. SQLite sorts in its own temporary files, not in the directory.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from crawler.metrics.counters import Tally
from crawler.report.facts import (
    MOST_BROKEN,
    TOP,
    BrokenLink,
    FetchFacts,
    HostCounts,
    HostFacts,
    TroubleFacts,
)
from crawler.storage.frontier.meta import SEEDS_ANSWERED, says_seeds_answered

HOST = "substr(url, 1, 7 + instr(substr(url, 9), '/'))"
FINE = "reason IN ('ok', 'redirect')"
KIND = "CASE WHEN reason GLOB 'redirect*' THEN '' ELSE detail END"
"""The detail, as far as it tells kinds of error apart: that of a redirect is its target."""
FETCHED = "reason IS NOT NULL AND attempts > 0"
DURATIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SIZES = (1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7)
ONE = "url, reason, status, attempts, coalesce(size, 0), seconds"


def tally(connection: sqlite3.Connection) -> Tally:
    """The tally as of the last commit of each shard."""
    tally = Tally()
    kept = [value for (value,) in connection.execute("SELECT value FROM meta WHERE key = 'tally'")]
    for value in kept:
        tally.merge(msgspec.json.decode(value, type=Tally))
    if not all(says_seeds_answered(value) for value in kept):
        tally.seeds_answered = connection.execute(SEEDS_ANSWERED).fetchone()[0]
    return tally


def hosts(connection: sqlite3.Connection) -> HostCounts:
    """The hosts with most URLs, longest mean fetch and most failures, TOP each."""
    connection.execute(
        f"""CREATE TEMP TABLE per_host AS SELECT {HOST} AS name, count(*) AS urls, sum({FETCHED}) AS fetched,
        sum({FETCHED} AND NOT {FINE}) AS failed, sum(reason IS NULL) AS owed,
        sum(CASE WHEN part IS NULL THEN 0 ELSE size END) AS size,
        sum(CASE WHEN {FETCHED} THEN seconds ELSE 0 END) AS seconds FROM url GROUP BY name"""
    )

    def top(wanted: str) -> tuple[HostFacts, ...]:
        rows = connection.execute(f"SELECT * FROM per_host {wanted}, name LIMIT {TOP}")
        return tuple(HostFacts(*row) for row in rows)

    return HostCounts(
        count=connection.execute("SELECT count(*) FROM per_host").fetchone()[0],
        largest=top("ORDER BY urls DESC"),
        slowest=top("WHERE fetched ORDER BY seconds / fetched DESC"),
        failing=top("WHERE failed ORDER BY failed DESC"),
    )


def troubles(connection: sqlite3.Connection) -> tuple[TroubleFacts, ...]:
    """Kinds of error, the most frequent first. With min(id) SQLite takes the URL from the same row."""
    rows = connection.execute(
        f"""SELECT reason, status, CAST(coalesce({KIND}, '') AS TEXT), count(*) AS often, url, min(id) FROM url
        WHERE reason IS NOT NULL AND NOT {FINE} GROUP BY reason, status, {KIND}
        ORDER BY often DESC, min(id) LIMIT {TOP}"""
    )
    return tuple(TroubleFacts(*row[:5]) for row in rows)


def broken(connection: sqlite3.Connection) -> tuple[BrokenLink, ...]:
    """The URLs that answered 4xx or 5xx, the first MOST_BROKEN in their order."""
    rows = connection.execute(
        f"SELECT url, status FROM url WHERE reason IS NOT NULL AND status >= 400 ORDER BY url LIMIT {MOST_BROKEN}"
    )
    return tuple(BrokenLink(*row) for row in rows)


def slowest(connection: sqlite3.Connection) -> tuple[FetchFacts, ...]:
    """The URLs whose last fetch took longest."""
    return _fetches(connection, f"SELECT {ONE} FROM url WHERE {FETCHED} ORDER BY seconds DESC, id LIMIT {TOP}")


def largest(connection: sqlite3.Connection) -> tuple[FetchFacts, ...]:
    """The largest pages."""
    return _fetches(connection, f"SELECT {ONE} FROM url WHERE part IS NOT NULL ORDER BY size DESC, id LIMIT {TOP}")


def _fetches(connection: sqlite3.Connection, query: str) -> tuple[FetchFacts, ...]:
    return tuple(FetchFacts(*row) for row in connection.execute(query))


def durations(connection: sqlite3.Connection) -> tuple[tuple[float, int], ...]:
    """Histogram of fetch times: (upper edge in seconds, count); the last edge is infinite."""
    return _histogram(connection, "seconds", DURATIONS, FETCHED)


def sizes(connection: sqlite3.Connection) -> tuple[tuple[float, int], ...]:
    """Histogram of page sizes: (upper edge in bytes, count)."""
    return _histogram(connection, "size", SIZES, "part IS NOT NULL")


def _histogram(
    connection: sqlite3.Connection, column: str, edges: tuple[float, ...], where: str
) -> tuple[tuple[float, int], ...]:
    cases = " ".join(f"WHEN {column} <= {edge} THEN {edge}" for edge in edges)
    rows = connection.execute(
        f"SELECT CASE {cases} ELSE 9e999 END AS edge, count(*) FROM url WHERE {where} GROUP BY edge ORDER BY edge"
    )
    return tuple(rows)


def types(connection: sqlite3.Connection) -> tuple[tuple[str, int, int], ...]:
    """Content types without their parameters: name, pages, bytes."""
    bare = "lower(trim(substr(content_type, 1, instr(content_type || ';', ';') - 1)))"
    rows: Any = connection.execute(
        f"""SELECT coalesce({bare}, '') AS kind, count(*) AS pages, sum(size) FROM url WHERE part IS NOT NULL
        GROUP BY kind ORDER BY pages DESC, kind LIMIT {TOP}"""
    )
    return tuple(rows)


def depths(connection: sqlite3.Connection) -> tuple[tuple[int, int], ...]:
    """URLs fetched by depth: (links from a seed, count)."""
    return tuple(
        connection.execute(f"SELECT depth, count(*) FROM url WHERE {FETCHED} GROUP BY depth ORDER BY depth LIMIT {TOP}")
    )
