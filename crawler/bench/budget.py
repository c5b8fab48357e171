"""The budget of a page: how much CPU each stage of a crawl may take, in units of what a raw aiohttp loop takes for it.

Rules:
- A ratio, because the machine cancels out: loop and stage run one after the other, on the same pages.
- `today` is what was measured when the line was last changed, `target` what it is to become. More than SLACK times
  `today` is over the budget. Whoever makes a stage cheaper lowers its line.
- The site was a documentation site of 4,500 URLs, 30 kB and 57 links a page; on lighter pages all ratios are smaller.
- `rest` is what the whole crawl (`async`, native client) takes beyond the stages: the event loop, tasks, queues, the
  writer thread, metering.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from crawler.bench.entrants import Child, Entrant, Mode
from crawler.bench.present import UNEQUAL, BenchTable
from crawler.bench.race import Score

SLACK = 1.3
WHOLE = "async+native"
READING = (
    "The CPU that a stage takes for a page, in units of what a raw aiohttp loop takes for it. `today` is what was"
    " measured when the line was last changed, `target` what it is to become; more than"
    f" {SLACK:g} times `today` is over the budget."
)


class BudgetLine(NamedTuple):
    """The budget of a stage."""

    today: float
    target: float


LINES = {
    "fetch": BudgetLine(0.36, 0.30),
    "parse_cost": BudgetLine(0.43, 0.15),
    "tree": BudgetLine(1.55, 1.50),
    "links": BudgetLine(1.21, 0.70),
    "fingerprint": BudgetLine(1.30, 0.50),
    "decide": BudgetLine(0.22, 0.20),
    "store": BudgetLine(0.99, 0.60),
    "frontier": BudgetLine(0.21, 0.20),
    "rest": BudgetLine(2.10, 0.90),
    WHOLE: BudgetLine(8.40, 4.60),
}
ENTRANTS: tuple[Entrant, ...] = (
    Child("fetch", "native", "client"),
    *(Child(name, name, "stage") for name in LINES if name not in ("fetch", "rest", WHOLE)),
    Mode(WHOLE),
)


class Spent(NamedTuple):
    """What a stage took, in units of the raw loop's CPU per page, beside its budget."""

    name: str
    spent: float
    line: BudgetLine

    @property
    def is_over(self) -> bool:
        """Whether it is over its budget."""
        return self.spent > SLACK * self.line.today


def spent_by(scores: Sequence[Score]) -> list[Spent]:
    """What each stage took, and what is left of the whole."""
    found = {score.entrant.name: median(score.cpus) for score in scores if score.cpus and score.entrant.name in LINES}
    for stage, before in (("fingerprint", "links"), ("links", "tree")):  # each was measured with the one before it
        if stage in found and before in found:
            found[stage] -= found[before]
    stages = sum(spent for name, spent in found.items() if name != WHOLE)
    if WHOLE in found:
        found["rest"] = found[WHOLE] - stages
    return [Spent(name, found[name], line) for name, line in LINES.items() if name in found]


def as_table(spent: Sequence[Spent], scores: Sequence[Score] = ()) -> BenchTable:
    """The budget, ready to be shown; of `scores` it says which did other work."""
    rows: list[tuple[str, ...]] = [("spent", "today", "target", "")]
    rows += [
        (f"{one.spent:.2f}", f"{one.line.today:.2f}", f"{one.line.target:.2f}", " OVER" if one.is_over else "")
        for one in spent
    ]
    wrong = "; ".join(f"{score.entrant.name}: {score.wrong}" for score in scores if score.wrong)
    over = ", ".join(one.name for one in spent if one.is_over)
    verdict = f"{UNEQUAL}: {wrong}" if wrong else f"over the budget: {over}" if over else "within the budget"
    return BenchTable([], ["CPU per page : raw loop", *(one.name for one in spent)], rows, verdict, READING)


def as_fields(spent: Sequence[Spent]) -> dict[str, Any]:
    """The budget for scripts."""
    return {
        one.name: {"spent": one.spent, "today": one.line.today, "target": one.line.target, "over": one.is_over}
        for one in spent
    }
