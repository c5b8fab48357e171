"""The sections about what an engine costs: starting up, memory, CPU, switches. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from crawler.compare import analysis
from crawler.compare.fields import COSTS, Row
from crawler.compare.html_report import findings
from crawler.compare.html_report.book import Book, Draw, Figure, Table
from crawler.compare.html_report.curves import Line, Scene, curves
from crawler.compare.html_report.figures import lanes
from crawler.compare.html_report.numbers import SHOWN, cell, full
from crawler.compare.intervals import Estimate
from crawler.report.numbers import lasting, number


def start(book: Book) -> tuple[list[Figure], str]:
    """The start-up break-even; with no figure, why there is none."""
    field = book.found.headline
    rows = [row for row in field.engines if "startup" in row.levels and field.rate in row.levels] if field else []
    if not field or not rows:
        return [], "no trial reports its start-up time"
    sizes = [10.0 * 10 ** (step / 2) for step in range(9)]
    drawn = [Line(book.index[row.arm], row.arm, {}, _lasts(row, field.rate, sizes)) for row in rows]
    scene = Scene(
        x="pages in the job",
        y="time from start to end (log)",
        show_y=lasting,
        place=lambda size: f"caught up at {number(size)} pages",
        show_x=lambda size: f"{size:,.0f}" if math.log10(size) % 1 < 0.01 else "",
        crossings=[(even.low, even.at, even.high) for even in book.found.even.values()],
    )
    title = findings.break_even(book.found)
    table = Table(
        ["engine", "start-up [95 %]", "pages/s [95 %]", "100 pages last", "10,000 pages last"],
        [
            [row.arm, full(row.levels["startup"], lasting), full(row.levels[field.rate]),
             *(full(_lasts(row, field.rate, [size])[size], lasting) for size in (100.0, 10_000.0))]
            for row in rows
        ],
    )  # fmt: skip
    figure = Figure(
        title,
        "From how many pages on is a slower start worth it?",
        [lambda width: curves(width, drawn, scene, title)],
        "Computed in each trial from its own start-up time and pages a second: start + pages / rate. The band is the "
        "95 % interval of the break-even point.",
        table,
        book.foot([field.condition]),
        legend="narrow",
    )
    return [figure], ""


def _lasts(row: Row, rate: str, sizes: Sequence[float]) -> dict[float, Estimate]:
    """The durations of jobs of these sizes in seconds, estimated over blocks."""
    both = row.values["startup"].keys() & row.values[rate].keys()
    made = {}
    for size in sizes:
        level = analysis.level({block: row.values["startup"][block] + size / row.values[rate][block] for block in both})
        if level:
            made[size] = level
    return made


def cost(book: Book) -> tuple[list[Figure], str]:
    """CPU, memory and the other costs of an engine; with no figure, why there is none."""
    field = book.found.headline
    wanted = (*COSTS, "heartbeat_p99", "startup", "threads")
    metrics = [metric for metric in wanted if field and any(metric in row.levels for row in field.rows)]
    if not field or not metrics:
        return [], "no trial reports CPU or memory"

    def panel(metric: str) -> Draw:
        what, unit, show = SHOWN[metric]
        return lambda width: lanes(width, book.lanes(field, metric), f"{what}: {unit}", show, {}, what)

    rows = [[row.arm, *(cell(row, metric) for metric in metrics)] for row in field.rows]
    figure = Figure(
        findings.costs(field, book.found.base) or "What the engines cost",
        "What does each engine take from the machine at the headline condition? The whole process tree counts.",
        [panel(metric) for metric in metrics],
        "Each pale mark is a trial. All axes start at 0; less is better. Memory is the sum of PSS, so pages that "
        "processes share are counted once.",
        Table(["engine", *(SHOWN[metric][0] for metric in metrics)], rows),
        book.foot([field.condition]),
        wide=468,
    )
    return [figure], ""
