"""Facts from the frontier of a crawl, aggregated by SQLite, so that memory use does not grow with the crawl.

Rules:
- One read transaction on a read-only connection: all figures of a live crawl are of the same moment, and nothing is
  checkpointed. SQLite sorts in its own temporary files, not in the directory.
- `settled_at` is when a batch was committed, up to a second after the answer. That is the resolution of all times here.
- A run is identified by its part names. URLs settled without a stored page count for the run whose time they are in.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from crawler.metrics.counters import Tally
from crawler.report.facts import (
    MOST_BROKEN,
    TOP,
    Bar,
    BrokenLink,
    FetchFacts,
    HostCounts,
    HostFacts,
    PaceFacts,
    Span,
    TroubleFacts,
)
from crawler.storage.frontier.meta import SEEDS_ANSWERED, says_seeds_answered

BARS = 90
FEWEST_COMMITS = 3
"""Minimum mean number of commits per bar: with fewer, full and empty bars would alternate."""
RUNS = 20
"""Number of last runs shown separately; pauses between earlier ones are not cut out."""
HOST = "substr(url, 1, 7 + instr(substr(url, 9), '/'))"
FINE = "reason IN ('ok', 'redirect')"
KIND = "CASE WHEN reason GLOB 'redirect*' THEN '' ELSE detail END"
"""The detail, as far as it tells kinds of error apart: that of a redirect is its target."""
FETCHED = "reason IS NOT NULL AND attempts > 0"
WIDTHS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400)
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


def pace(connection: sqlite3.Connection) -> PaceFacts:
    """Throughput over active time."""
    first, last, commits = connection.execute(
        f"SELECT min(settled_at - seconds), max(settled_at), count(DISTINCT settled_at) FROM url WHERE {FETCHED}"
    ).fetchone()
    if first is None:
        return PaceFacts()
    spans = _spans(connection, first, last)
    total = spans[-1].offset + spans[-1].seconds
    width = _width(total, commits)
    since, values = _active(spans)
    rows = connection.execute(
        f"""SELECT CAST(({since}) / ? AS INTEGER) AS bar, sum({FINE}), sum(NOT {FINE}),
        sum(CASE WHEN part IS NULL THEN 0 ELSE size END) FROM url WHERE {FETCHED} GROUP BY bar""",
        (*values, width),
    )
    bars = [Bar(0, 0, 0)] * (int(total / width) + 1)
    for place, fine, other, size in rows:
        bars[min(max(place, 0), len(bars) - 1)] = Bar(fine, other, size)
    return PaceFacts(tuple(spans), width, tuple(bars))


def _spans(connection: sqlite3.Connection, first: float, last: float) -> list[Span]:
    """The runs in order, with the time between them cut out, except where the clock was set back."""
    rows = connection.execute(
        """SELECT CAST(substr(part, 1, 4) AS INTEGER) AS run, min(settled_at - seconds), max(settled_at), count(*)
        FROM url WHERE part IS NOT NULL GROUP BY run ORDER BY run DESC LIMIT ?""",
        (RUNS,),
    ).fetchall()[::-1] or [(1, first, last, 0)]
    spans: list[Span] = []
    for place, (run, start, end, pages) in enumerate(rows):
        start = first if place == 0 else max(start, spans[-1].end)
        end = max(start, last if place == len(rows) - 1 else end)
        offset = spans[-1].offset + spans[-1].seconds if spans else 0.0
        spans.append(Span(run, start, end, pages, offset))
    return spans


def _active(spans: list[Span]) -> tuple[str, list[float]]:
    """SQL that maps `settled_at` to active time, and its parameters; the latest run comes first."""
    cases, values = "", list[float]()
    for before, span in zip(reversed(spans[:-1]), reversed(spans[1:]), strict=True):
        cases += " WHEN settled_at > ? THEN max(settled_at - ?, 0) + ?"
        values += [before.end, span.start, span.offset]
    rest = "settled_at - ?"
    return (f"CASE{cases} ELSE {rest} END" if cases else rest), [*values, spans[0].start]


def _width(total: float, commits: int) -> float:
    least = max(total / BARS, FEWEST_COMMITS * total / commits)
    days = -(-least // WIDTHS[-1]) * WIDTHS[-1]
    return float(next((width for width in WIDTHS if width >= least), days))


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
