"""Computes everything that the report states from the trials. Pure: no clock, no files; equal trials, equal results.

Rules, and why:
- A sweep is one question: its conditions differ in one factor. The number of pages may differ too, because a level
  needs enough of them to reach its steady window. Where a second factor differs, that is a second sweep.
- Where the A/A arm of the headline differs, nothing at all is claimed, in no sweep either. A sweep also claims nothing
  at a level where its own A/A arm differs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from crawler.compare import analysis, models, noise
from crawler.compare.analysis import Word
from crawler.compare.cells import Cells
from crawler.compare.fields import Field, field_of, judged_together
from crawler.compare.intervals import LEAST
from crawler.compare.predictions import JudgedPrediction, judged
from crawler.compare.records import Condition, Session, Trial

FACTORS = {
    "concurrency": "concurrency",
    "latency": "latency",
    "payload": "payload",
    "cpu": "cpu_ms",
    "workers": "workers",
    "errors": "errors",
    "job size": "pages",
    "spread": "spread",
}
"""The sweeps, and the field of the condition that each one varies."""

RESPONSES = ("offered_rate", "response_p50", "response_p99")
MORE = ("cold_rate", "startup", "threads", "descriptors", "overhead_p50", "heartbeat_p50", "heartbeat_p99", "in_flight")


@dataclass(frozen=True, slots=True)
class Sweep:
    """One question: the fields at each level of `factor`, where engines change places with the base, where they tie."""

    name: str
    factor: str
    levels: list[float]
    fields: list[Field]
    crossings: dict[str, models.Crossing]
    ties: dict[str, list[float]]

    @property
    def points(self) -> list[tuple[float, Field]]:
        """Each level with its field."""
        return list(zip(self.levels, self.fields, strict=True))


@dataclass(frozen=True, slots=True)
class AuditResult:
    """Drift of log pages/s over the run order (each arm against its own mean in its cell), outliers over all cells, and
    counts of valid and void trials."""

    drift: noise.Drift | None
    outliers: noise.Outliers
    valid: int
    void: int
    warm_up: int


@dataclass(frozen=True, slots=True)
class Results:
    """All that the report states. `blocks`: those of the arm with the fewest at the headline; `firm` is False where
    they are too few for any word. `claims` is False where the headline's A/A arm differs: then no engines are compared
    in words."""

    base: str
    twin: str
    blocks: int
    firm: bool
    claims: bool
    headline: Field | None
    sweeps: list[Sweep]
    polite: list[Field]
    graph: list[Field]
    open_loop: list[Field]
    even: dict[str, models.Crossing]
    audit: AuditResult
    predictions: list[JudgedPrediction]

    @property
    def fields(self) -> list[Field]:
        """The fields of all questions."""
        swept = [field for sweep in self.sweeps for field in sweep.fields]
        return [*([self.headline] if self.headline else []), *swept, *self.polite, *self.graph]


def results(session: Session, trials: Sequence[Trial]) -> Results:
    """Compute the results from the raw trials."""
    cells = Cells(session, trials)
    headline = next((condition for condition in session.conditions if condition.sweep == "headline"), None)
    field = field_of(cells, headline, MORE) if headline else None
    compared = [row.levels[field.rate].n for row in field.rows if field.rate in row.levels] if field else []
    blocks = min(compared, default=0)
    claims = field is None or field.claims
    return Results(
        base=cells.base,
        twin=cells.twin,
        blocks=blocks,
        firm=blocks >= LEAST,
        claims=claims,
        headline=field if compared else None,
        sweeps=_sweeps(cells, claims),
        polite=[field_of(cells, one, claims=claims) for one in session.conditions if one.sweep == "politeness"],
        graph=[field_of(cells, one, claims=claims) for one in session.conditions if one.sweep == "graph"],
        open_loop=[field_of(cells, one, RESPONSES, claims=claims) for one in session.conditions if one.arrivals],
        even=_break_even(cells, headline) if headline and claims else {},
        audit=_audit(cells),
        predictions=judged(cells, claims),
    )


def _sweeps(cells: Cells, claims: bool) -> list[Sweep]:
    grouped: dict[tuple[str, Condition], list[Condition]] = {}
    for condition in cells.session.conditions:
        factor = FACTORS.get(condition.sweep)
        if factor:
            rest = msgspec.structs.replace(condition, **{"pages": 0, factor: 0})
            grouped.setdefault((condition.sweep, rest), []).append(condition)
    return [_sweep(cells, claims, name, group) for (name, _), group in grouped.items() if len(group) > 1]


def _sweep(cells: Cells, claims: bool, name: str, conditions: Sequence[Condition]) -> Sweep:
    factor = FACTORS[name]
    ordered = sorted(conditions, key=lambda condition: float(getattr(condition, factor)))
    levels = [float(getattr(condition, factor)) for condition in ordered]
    fields = [field_of(cells, one, ("cold_rate",), all_pairs=False, claims=claims) for one in ordered]
    fields = judged_together(fields, cells.base)
    crossings, ties = {}, {}
    for arm in cells.engines:
        if arm == cells.base:
            continue
        logs = {
            level: analysis.log_ratios(
                cells.blocks(field.condition, arm, field.rate), cells.blocks(field.condition, cells.base, field.rate)
            )
            for level, field in zip(levels, fields, strict=True)
        }
        found = models.crossing(logs)
        if found and _changed_places(arm, found.at, levels, fields):
            crossings[arm] = found
        ties[arm] = [
            level
            for level, field in zip(levels, fields, strict=True)
            if (row := field.row(arm)) and row.word == "equivalent"
        ]
    return Sweep(name, factor, levels, fields, crossings, ties)


def _changed_places(arm: str, at: float, levels: Sequence[float], fields: Sequence[Field]) -> bool:
    """Whether the words confirm the crossing: faster at some level on one side of it, slower at one on the other."""
    sides: tuple[set[Word], set[Word]] = (set(), set())
    for level, field in zip(levels, fields, strict=True):
        row = field.row(arm)
        sides[level > at].update({row.word} if row and row.word else set())
    return any(a in sides[0] and b in sides[1] for a, b in (("faster", "slower"), ("slower", "faster")))


def _break_even(cells: Cells, condition: Condition) -> dict[str, models.Crossing]:
    """Each engine against the base: the number of pages at which the slower starter has caught up."""
    jobs = {}
    for arm in cells.engines:
        starts, rates = cells.blocks(condition, arm, "startup"), cells.blocks(condition, arm, cells.rate)
        jobs[arm] = {block: (starts[block], rates[block]) for block in starts if rates.get(block, 0) > 0}
    found = {arm: models.break_even(jobs[cells.base], jobs[arm]) for arm in cells.engines if arm != cells.base}
    return {arm: even for arm, even in found.items() if even}


def _audit(cells: Cells) -> AuditResult:
    outliers = noise.Outliers(0, 0, 0)
    for condition in cells.session.conditions:
        for arm in cells.arms:
            logs = [math.log(rate) for rate in cells.blocks(condition, arm, cells.rate).values() if rate > 0]
            outliers = outliers.plus(noise.tukey(logs))
    points = [(float(order), residual) for order, residual in cells.residuals().items()]
    valid = sum(trial.valid for trial in cells.trials)
    warm_up = sum(trial.warm_up for trial in cells.trials)
    return AuditResult(noise.theil_sen(points), outliers, valid, len(cells.trials) - valid - warm_up, warm_up)
