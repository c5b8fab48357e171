"""The sections about what an engine costs: starting up, memory, CPU, switches. Pure."""

from __future__ import annotations

from crawler.compare.fields import COSTS
from crawler.compare.html_report import findings
from crawler.compare.html_report.book import Book, Figure, Table
from crawler.compare.html_report.figures import lanes
from crawler.compare.html_report.numbers import SHOWN, cell
from crawler.report.numbers import number


def start(book: Book) -> tuple[list[Figure], str]:
    """The start-up times and the break-even points, a table; with no figure, why there is none."""
    field, even = book.found.headline, book.found.even
    rows = [row for row in field.engines if "startup" in row.levels and field.rate in row.levels] if field else []
    if not field or not rows:
        return [], "no trial reports its start-up time"

    def caught_up(arm: str) -> str:
        found = even.get(arm)
        return f"{number(found.at)} [{number(found.low)}, {number(found.high)}]" if found else ""

    figure = Figure(
        findings.break_even(book.found),
        "From how many pages on is a slower start worth it?",
        (),
        "A job of n pages is taken to last start-up + n / rate, in each block. The last column is the number of pages "
        f"at which an engine and {book.found.base} have taken equally long, where the data show that there is one.",
        Table(
            ["engine", "start-up [95 %]", "pages/s [95 %]", f"even with {book.found.base} at pages [95 %]"],
            [[row.arm, cell(row, "startup"), cell(row, field.rate), caught_up(row.arm)] for row in rows],
        ),
        book.foot([field.condition]),
    )
    return [figure], ""


def cost(book: Book) -> tuple[list[Figure], str]:
    """CPU, memory and the other costs of an engine; with no figure, why there is none."""
    field = book.found.headline
    wanted = (*COSTS, "heartbeat_p99", "threads")
    metrics = [metric for metric in wanted if field and any(metric in row.levels for row in field.rows)]
    if not field or not metrics:
        return [], "no trial reports CPU or memory"

    def panel(metric: str) -> str:
        what, unit, show = SHOWN[metric]
        return lanes(book.lanes(field, metric), f"{what}: {unit}", show, {}, what)

    rows = [[row.arm, *(cell(row, metric) for metric in metrics)] for row in field.rows]
    figure = Figure(
        findings.costs(field, book.found.base) or "What the engines cost",
        "What does each engine take from the machine at the headline condition? The whole process tree counts.",
        [panel(metric) for metric in metrics],
        "All axes start at 0; less is better. Memory is the sum of PSS, so what processes share is counted once.",
        Table(["engine", *(SHOWN[metric][0] for metric in metrics)], rows),
        book.foot([field.condition]),
    )
    return [figure], ""
