"""The section about response times in an open loop. Pure."""

from __future__ import annotations

from crawler.compare.fields import Field
from crawler.compare.html_report.book import Book, Figure, Table
from crawler.compare.html_report.figures import lanes
from crawler.compare.html_report.numbers import SHOWN, cell, full
from crawler.compare.verdicts import costs_against
from crawler.report.numbers import number

METRICS = ("response_p50", "response_p99")
WORDS = {"faster": "longer", "slower": "shorter"}
"""Of a cost "faster" is what the larger one is called."""


def responses(book: Book, field: Field) -> Figure | None:
    """How long a fetch takes from its intended start, under the same load for every engine; None without figures."""
    metric = next((name for name in reversed(METRICS) if any(name in row.levels for row in field.rows)), None)
    if metric is None:
        return None
    offered = max((row.levels["offered_rate"].value for row in field.rows if "offered_rate" in row.levels), default=0)
    title = f"Response times at {number(offered)} fetches/s, offered to every engine"
    against = costs_against(field, book.found.base, metric)
    what, unit, show = SHOWN[metric]

    def compared(arm: str) -> list[str]:
        ratio, word = against.get(arm, (None, ""))
        return [full(ratio) if ratio else "", WORDS.get(word, word)]

    rows = [[row.arm, *(cell(row, name) for name in METRICS), *compared(row.arm)] for row in field.rows]
    return Figure(
        title,
        "How long does a fetch take when the load does not wait for the engine?",
        [lanes(book.lanes(field, metric), f"{what}: {unit}", show, {}, title)],
        "Fetches start by a schedule, whether earlier ones have ended or not. Times count from the intended start, so "
        "what a stall of the engine delays is in them. Less is better.",
        Table(["engine", *(SHOWN[name][0] for name in METRICS), f"{what} : {book.found.base}", "verdict"], rows),
        book.foot([field.condition]),
    )
