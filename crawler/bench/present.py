"""The output of a bench: ratios to the raw aiohttp loop, as a table or for a JSON object. No absolute times.

Ratios are summed up as in a comparison (crawler.compare.intervals): the geometric mean, with its 95 % interval from
LEAST rounds on, and with the range where there are fewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from crawler.bench.peers import Absent
from crawler.bench.race import Score
from crawler.bench.task import Reference, Task
from crawler.compare.intervals import LEAST, Estimate, estimate
from crawler.system.text import escape_unprintable, format_bytes

UNEQUAL = "WRONG: unequal work"
READING = (
    "Each number relates an entrant to a raw aiohttp loop that ran just before it on the same pages: 0.5 pages/s means"
    " half as many pages a second as the loop, 2 CPU/page twice its CPU for each page. In brackets is the 95 % interval"
    " of the mean, in parentheses the range of so few rounds that they have no interval."
)


class BenchTable(NamedTuple):
    """The result of a bench, ready to be shown. `names` and `rows` are as in `aligned`, the first of both is the head;
    `verdict`: whether all did what they had to; `reading`: how to read the numbers."""

    conditions: list[str]
    names: list[str]
    rows: list[tuple[str, ...]]
    verdict: str
    reading: str = READING

    @property
    def lines(self) -> list[str]:
        """As lines for a terminal."""
        above = [*self.conditions, ""] if self.conditions else []
        return [*above, *aligned(self.names, self.rows), self.verdict]


def table(task: Task, reference: Reference, scores: Sequence[Score], absent: Sequence[Absent]) -> BenchTable:
    """The results of all entrants, then who is not here."""
    rows: list[tuple[str, ...]] = [("pages/s : raw", "CPU/page : raw", "PSS", "work")]
    rows += [
        (ratios(one.rates), ratios(one.cpus), f"{one.memory / 1e6:.0f} MB" if one.memory else "-", work(one))
        if one.rates
        else (escape_unprintable(one.wrong),)
        for one in scores
    ]
    rows += [(f"not here; to measure it too: {one.how}",) for one in absent]
    names = ["", *(score.entrant.name for score in scores), *(one.name for one in absent)]
    return BenchTable(
        conditions(task, reference, scores), names, rows, verdict(scores, "same URLs, answers and digests")
    )


def verdict(scores: Sequence[Score], same: str) -> str:
    """Whether all of ours did equal work, which is the `same` in these respects."""
    wrong = [score.entrant.name for score in of_ours(scores) if not score.equal]
    return f"{UNEQUAL} by {'; '.join(wrong)}" if wrong else f"equal work: {same}"


def aligned(names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of columns as wide as their cells, so that a usual table fits into 80 columns. The name of each row stands
    left, the last cell too, whose width does not count; a row of one cell is a remark."""
    cells = [row[:-1] for row in rows if len(row) > 1]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    width = max(map(len, names))
    return [
        " ".join([name.ljust(width), *map(str.rjust, row[:-1], widths), row[-1]]).rstrip()
        for name, row in zip(names, rows, strict=True)
    ]


def conditions(task: Task, reference: Reference, scores: Sequence[Score]) -> list[str]:
    """The lines above a table: what was measured, how often, and relative to what."""
    rounds = max(len(score.rates) for score in scores)
    ends = "[95 % interval]" if rounds >= LEAST else f"(range: an interval needs {LEAST} rounds)"
    means = f"geometric means of {rounds} alternating rounds {ends}" if rounds > 1 else "one round"
    return [
        f"{escape_unprintable(task.url)}: "
        f"{len(reference.urls):,} URLs, {format_bytes(reference.size)}, {task.in_flight} in flight",
        f"{means},",
        "each relative to a raw aiohttp loop just before",
    ]


def as_json(task: Task, reference: Reference, scores: Sequence[Score], absent: Sequence[Absent]) -> dict[str, Any]:
    """The results for scripts: `rate` and `cpu` are ratios, `memory` is in bytes."""
    return {
        "url": task.url,
        "urls": len(reference.urls),
        "bytes": reference.size,
        "digest": reference.digest,
        "in_flight": task.in_flight,
        "equal": all(score.equal for score in of_ours(scores)),
        "entrants": [
            {
                "name": score.entrant.name,
                "kind": score.entrant.kind,
                "rate": _spread(score.rates),
                "cpu": _spread(score.cpus),
                "memory": score.memory,
                "equal": score.equal,
                "missing": score.missing,
                "extra": score.extra,
                "wrong": score.wrong,
            }
            for score in scores
        ],
        "absent": [{"name": one.name, "how": one.how} for one in absent],
    }


def of_ours(scores: Sequence[Score]) -> list[Score]:
    """The scores whose work must be equal (peers excluded)."""
    return [score for score in scores if score.entrant.kind != "peer"]


def work(score: Score) -> str:
    """Whether it did the required work, and what was different."""
    if score.entrant.kind == "stage":
        return ""
    unlike = [f"{score.missing:,} URLs missing"] if score.missing else []
    unlike += [f"{score.extra:,} more"] if score.extra else []
    unlike += [escape_unprintable(score.wrong)] if score.wrong else []
    return f"UNLIKE: {', '.join(unlike)}" if unlike else "equal"


def ratios(found: Sequence[float]) -> str:
    """Their geometric mean, with its interval in brackets, or the range in parentheses. A crawl so short
    that its CPU is not more than that of starting up has no ratio."""
    if min(found) <= 0:
        return "too little to tell"
    mean = _mean(found)
    if mean.n == 1:
        return f"{mean.value:.3g}"
    left, right = "[]" if mean.known else "()"
    return f"{mean.value:.3g} {left}{mean.low:.3g}, {mean.high:.3g}{right}"


def _mean(found: Sequence[float]) -> Estimate:
    return estimate([math.log(one) for one in found]).exp()


def _spread(found: Sequence[float]) -> dict[str, float | None] | None:
    """The spread of ratios, None where no run was completed or took too little to tell; `low` and `high` are None
    without an interval."""
    if not found or min(found) <= 0:
        return None
    mean = _mean(found)
    told = {"median": median(found), "least": min(found), "most": max(found), "mean": mean.value}
    ends = (mean.low, mean.high) if mean.known else (None, None)
    rounded = {name: round(value, 4) for name, value in told.items()}
    return rounded | dict(zip(("low", "high"), (end if end is None else round(end, 4) for end in ends), strict=True))
