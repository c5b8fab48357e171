"""The sections that vary one factor: throughput along it, and the cost of more fetches in flight. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from crawler.compare.fields import COSTS
from crawler.compare.html_report import scaling
from crawler.compare.html_report.book import Book, Figure, Table
from crawler.compare.html_report.curves import Scene, curves
from crawler.compare.html_report.numbers import LEVELS, SHOWN, cell
from crawler.compare.html_report.phrases import capital, sentence
from crawler.compare.models import little
from crawler.compare.records import Condition
from crawler.compare.results import Sweep
from crawler.report.numbers import seconds, short

UNIT = "pages/s"
QUESTIONS = {
    "concurrency": "How does each engine scale with requests in flight, and where does it stop?",
    "latency": "When does a slow server hide the engine?",
    "cpu": "When do pages that are costly to parse need processes?",
    "job size": "Is a slow start worth it for a small job?",
    "payload": "Do large pages change the order?",
    "workers": "How far do more workers help?",
    "errors": "What do failing requests cost?",
    "spread": "Are answers that all take the same time a fair test?",
}


def sweep(book: Book, one: Sweep) -> list[Figure]:
    """The figures of one factor: throughput over its levels, and its costs."""
    name, show, _ = LEVELS[one.factor]
    cells = [field.condition for field in one.fields]
    drawn = book.lines(one, "")
    if not drawn:
        return []
    alike = sum(other.name == one.name for other in book.found.sweeps)
    scene = Scene(
        x=name,
        y=f"{UNIT} (log)",
        show_x=show,
        ceilings=_ceilings(one),
        crossings=[(found.low, found.at, found.high) for found in one.crossings.values()],
    )
    rows = [[show(level), *row] for level, field in one.points for row in book.compared(field)]
    parts = scaling.sweep(one, book.found.base)
    title = sentence(parts[:2])
    remark = f"Also: {'; '.join(parts[2:])}." if parts[2:] else ""
    figures = [
        Figure(
            title,
            QUESTIONS[one.name] + (f" Here with a latency of {seconds(cells[0].latency)}." if alike > 1 else ""),
            [curves(drawn, scene, title), *_against(book, one, name)],
            remark,
            Table([name, "engine", "pages/s [95 %]", f"ratio to {book.found.base} [95 %]", "verdict"], rows),
            book.foot(cells, [one.factor]),
        )
    ]
    if one.name == "concurrency":
        figures.append(_scaling_cost(book, one, name, cells))
    return figures


def _against(book: Book, one: Sweep, name: str) -> list[str]:
    """Pages/s against the base, to show differences that a log axis over decades hides."""
    show = LEVELS[one.factor][1]
    drawn = [line for line in book.ratios(one) if line.index >= 0]
    scene = Scene(
        x=name,
        y=f"ratio to {book.found.base} (log)",
        show_x=show,
        ropes={level: field.margin for level, field in one.points},
    )
    label = f"pages a second against {book.found.base}, by {name}"
    return [curves(drawn, scene, label)] if drawn else []


def _ceilings(one: Sweep) -> dict[str, dict[float, float]]:
    drawn = {"Little's law": {level: field.ceilings.get("Little's law", math.inf) for level, field in one.points}}
    if one.name == "latency":
        slots = one.fields[0].condition.concurrency
        low, high = min(x for x in one.levels if x > 0), max(one.levels)
        drawn["Little's law"] = {low: little(slots, low), high: little(slots, high)}
    raw = {level: field.raw.value for level, field in one.points if field.raw}
    if len(raw) > 1:
        drawn["raw client loop"] = raw
    return {name: line for name, line in drawn.items() if any(math.isfinite(rate) for rate in line.values())}


def _scaling_cost(book: Book, one: Sweep, name: str, cells: Sequence[Condition]) -> Figure:
    metrics = [metric for metric in COSTS if book.lines(one, metric)]
    parts = scaling.scaling_cost(one, book.found.base)
    title = capital(parts[0])

    def panel(metric: str) -> str:
        what, unit, show = SHOWN[metric]
        scene = Scene(x=name, y=f"{what}: {unit} (log)", show_y=show)
        return curves(book.lines(one, metric), scene, f"{what} against {name}")

    rows = [
        [short(level), row.arm, *(cell(row, metric) for metric in metrics)]
        for level, field in one.points
        for row in field.rows
        if row.levels
    ]
    return Figure(
        title,
        "What do more requests in flight cost? Thrashing shows here before it shows in pages/s.",
        [panel(metric) for metric in metrics],
        "The same trials as above, seen from the cost side. Lower is better in all panels. "
        + (
            "Jobs grow with the level, so starting up weighs more at the left."
            if len({c.pages for c in cells}) > 1
            else ""
        )
        + (f" Also: {'; '.join(parts[1:])}." if parts[1:] else ""),
        Table([name, "engine", *(SHOWN[metric][0] for metric in metrics)], rows),
        book.foot(cells, [one.factor]),
    )
