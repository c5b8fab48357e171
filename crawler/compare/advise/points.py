"""What a comparison measured, as points that a cost model can be fitted to. Pure.

Rules, and why:
- A point is a job, not a cell: the headline and the sweeps share conditions that differ in their number of pages alone.
  Were they separate points, a point left out of the fit would still be in it.
- Only the SWEEPS are points. In graphs links or rests decide, failing servers and constant latencies are other
  questions, and the model is checked against the job sizes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import NamedTuple

from crawler.compare.advise.model import Work
from crawler.compare.cells import Cells
from crawler.compare.records import Condition
from crawler.compare.workload import FLAT

SWEEPS = ("headline", "concurrency", "latency", "cpu", "workers", "payload")


class Point(NamedTuple):
    """A job, the pages/s measured, CPU seconds a page of the whole process tree (0 where unknown)."""

    work: Work
    rate: float
    cpu: float


def points_of(cells: Cells, arm: str) -> list[Point]:
    """The points of an arm, each the geometric mean of its trials."""
    rates: dict[Work, list[float]] = {}
    burnt: dict[Work, list[float]] = {}
    for condition in conditions_of(cells):
        work = work_of(cells, condition)
        rates.setdefault(work, []).extend(cells.blocks(condition, arm, "steady_rate").values())
        burnt.setdefault(work, []).extend(cells.blocks(condition, arm, "cpu_per_1000").values())
    return [
        Point(work, statistics.geometric_mean(found), _mean(burnt[work]) / 1000)
        for work, found in rates.items()
        if found and min(found) > 0
    ]


def starts_of(cells: Cells, arm: str) -> list[float]:
    """The seconds of each trial besides its pages: from process start to exit, less pages / (pages/s)."""
    seconds = []
    for condition in conditions_of(cells):
        whole, rates = cells.blocks(condition, arm, "cold_rate"), cells.blocks(condition, arm, "steady_rate")
        both = [(whole[block], rates[block]) for block in whole.keys() & rates.keys()]
        seconds += [condition.pages * (1 / cold - 1 / rate) for cold, rate in both if cold > 0 and rate > 0]
    return seconds


def jobs_of(cells: Cells, arm: str) -> Iterator[tuple[Work, int, float]]:
    """The whole jobs that are no points: the job, its pages, its seconds."""
    for condition in cells.session.conditions:
        rates = cells.blocks(condition, arm, "cold_rate").values()
        if condition.sweep == "job size" and rates:
            yield work_of(cells, condition), condition.pages, condition.pages / statistics.geometric_mean(rates)


def conditions_of(cells: Cells) -> Iterator[Condition]:
    """The conditions whose crawls are points."""
    return (one for one in cells.session.conditions if one.sweep in SWEEPS and one.workload == FLAT)


def work_of(cells: Cells, condition: Condition) -> Work:
    """The job of a condition. The server's CPU a page is that of its highest rate, which takes it a core."""
    served = cells.shared(condition, "server_rate")
    return Work(
        latency=condition.latency,
        cpu=condition.cpu_ms / 1000,
        payload=condition.payload,
        slots=condition.concurrency,
        cores=max(cells.cores, 1),
        served=1 / max(served.values()) if served else 0.0,
        workers=condition.workers,
    )


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
