"""Facts on the pace of a crawl: its runs, throughput over active time, percentiles of the fetch times.

Rules:
- A page counts when its last byte arrived, as its record says. A URL without a record (a redirect, an error, a page
  beyond the limit of crawler/report/visits.py) counts when it was committed: up to a second after its answer, and
  later where the disk is slow.
- A run is identified by its part names. URLs settled without a stored page count for the run whose time they are in.
- Each width of a bar divides the next, so that the bars of several crawls can be made equally wide.
"""

from __future__ import annotations

import sqlite3

from crawler.report.facts import Bar, PaceFacts, Percentiles, Span
from crawler.report.frontier_facts import FETCHED, FINE

BARS = 120
FEWEST_MOMENTS = 3
"""Minimum mean number of distinct times (of 10 ms) per bar: with fewer, full and empty bars would alternate."""
RUNS = 20
"""Number of last runs shown separately; pauses between earlier ones are not cut out."""
WIDTHS = (0.1, 0.2, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400)
"""Seconds of a bar; longer ones double from the last."""
FETCHES = f"""CREATE TEMP TABLE fetch AS SELECT CAST(substr(part, 1, 4) AS INTEGER) AS run,
    coalesce(landed, settled_at) AS landed, seconds, {FINE} AS fine,
    CASE WHEN part IS NULL THEN 0 ELSE size END AS size
    FROM url LEFT JOIN visit USING (part, position) WHERE {FETCHED}"""


def take_fetches(connection: sqlite3.Connection) -> None:
    """Fill the temporary table `fetch` of a connection that has `visit`: one row for each URL that was fetched."""
    connection.execute(FETCHES)


def pace(connection: sqlite3.Connection) -> PaceFacts:
    """Throughput over active time, from the table `fetch`."""
    first, last, moments = connection.execute(
        "SELECT min(landed - seconds), max(landed), count(DISTINCT CAST(landed * 100 AS INTEGER)) FROM fetch"
    ).fetchone()
    if first is None:
        return PaceFacts()
    spans = _spans(connection, first, last)
    total = spans[-1].offset + spans[-1].seconds
    width = _width(total, moments)
    since, values = _active(spans)
    rows = connection.execute(
        f"SELECT CAST(({since}) / ? AS INTEGER) AS bar, sum(fine), sum(NOT fine), sum(size) FROM fetch GROUP BY bar",
        (*values, width),
    )
    bars = [Bar(0, 0, 0)] * (int(total / width) + 1)
    for place, fine, other, size in rows:
        place = min(max(place, 0), len(bars) - 1)
        bars[place] = bars[place].plus(Bar(fine, other, size))
    return PaceFacts(tuple(spans), width, tuple(bars))


def _spans(connection: sqlite3.Connection, first: float, last: float) -> list[Span]:
    """The runs in order, with the time between them cut out, except where the clock was set back."""
    rows = connection.execute(
        """SELECT run, min(landed - seconds), max(landed), count(*) FROM fetch WHERE run IS NOT NULL
        GROUP BY run ORDER BY run DESC LIMIT ?""",
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
    """SQL that maps `landed` to active time, and its parameters; the latest run comes first."""
    cases, values = "", list[float]()
    for before, span in zip(reversed(spans[:-1]), reversed(spans[1:]), strict=True):
        cases += " WHEN landed > ? THEN max(landed - ?, 0) + ?"
        values += [before.end, span.start, span.offset]
    rest = "landed - ?"
    return (f"CASE{cases} ELSE {rest} END" if cases else rest), [*values, spans[0].start]


def _width(total: float, moments: int) -> float:
    least = max(total / BARS, FEWEST_MOMENTS * total / moments)
    width: float = next((width for width in WIDTHS if width >= least), WIDTHS[-1])
    while width < least:
        width *= 2
    return width


def percentiles(connection: sqlite3.Connection) -> Percentiles | None:
    """The fetch times that 50, 95 and 99 % of all URLs did not exceed (nearest rank), from the table `fetch`.
    None where nothing was fetched."""
    count: int = connection.execute("SELECT count(*) FROM fetch").fetchone()[0]
    if not count:
        return None
    places = [-(-count * percent // 100) for percent in (50, 95, 99)]
    rows = connection.execute(
        """SELECT place, seconds FROM (SELECT seconds, row_number() OVER (ORDER BY seconds) AS place FROM fetch)
        WHERE place IN (?, ?, ?)""",
        places,
    )
    found: dict[int, float] = dict(rows)
    return Percentiles(*(found[place] for place in places))
