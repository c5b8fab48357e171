"""Computes everything that the report states from the trials. Pure: no clock, no files; equal trials, equal results.

Rules, and why:
- All pairs of a headline are one family for Holm's correction; in a sweep, the engines against the base at one level
  are.
- A sweep is one question: its conditions differ in one factor. The number of pages may differ too, because a level
  needs enough of them to reach its steady window. Where a second factor differs, that is a second sweep.
- A crawl of a graph, polite or not, has no real steady window: it grows, and ends with a few slow hosts. Its throughput
  is that of the whole crawl, and its ceiling the limit of any crawl of this web (`least_rate`, see
  crawler.compare.envelope); the share of it is the engine's efficiency. Without that metric the limit of politeness is
  hosts / delay.
- Where the A/A arm of the headline differs, nothing at all is claimed, in no sweep either. A sweep also claims nothing
  at a level where its own A/A arm differs.
- A share of errors is fetched twice (the second attempt heals), so a slot is held 1 + errors times the latency.
- The lowest ceiling is the one that limits an arm; the arm's share of it shows how much the engine itself still costs.
  The raw loop is drawn but is no ceiling, because several processes can exceed one. A CPU roof below the measured
  pages/s is no ceiling either: in a job of few pages most of the CPU is that of the start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from crawler.compare import analysis, models, noise
from crawler.compare.analysis import Blocks, Pair, Word
from crawler.compare.cells import Cells
from crawler.compare.intervals import Estimate
from crawler.compare.records import Condition, Session, Trial

FACTORS = {
    "concurrency": "concurrency",
    "latency": "latency",
    "payload": "payload",
    "cpu": "cpu_ms",
    "workers": "workers",
    "errors": "errors",
    "job size": "pages",
}
"""The sweeps, and the field of the condition that each one varies."""

WHOLE = ("graph", "politeness")
"""The sweeps whose throughput is that of the whole crawl."""

COSTS = ("cpu_per_1000", "memory", "switches_per_page", "overhead_p99")
MORE = ("cold_rate", "startup", "threads", "descriptors", "overhead_p50", "heartbeat_p50", "heartbeat_p99", "in_flight")


@dataclass(frozen=True, slots=True)
class Row:
    """One arm under one condition: its values by metric and block, their levels, its pages/s against the base (None for
    the base), the name of its lowest ceiling and the share of it that it reaches."""

    arm: str
    twin: bool
    values: dict[str, Blocks]
    levels: dict[str, Estimate]
    ratio: Estimate | None
    word: Word | None
    roof: float
    ceiling: str
    share: float | None


@dataclass(frozen=True, slots=True)
class Field:
    """All arms under one condition: the A/A ratio, the ROPE, whether anything may be claimed, the rows, the pairs
    (headlines only), the ceilings in pages/s by name, the raw loop."""

    condition: Condition
    rate: str
    twin: Estimate | None
    rope: float
    claims: bool
    rows: list[Row]
    pairs: list[Pair]
    ceilings: dict[str, float]
    raw: Estimate | None

    @property
    def engines(self) -> list[Row]:
        """The rows without the A/A arm."""
        return [row for row in self.rows if not row.twin]


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
    """All that the report states. `firm` is False below 10 blocks: then the report is exploratory. `claims` is False
    where the headline's A/A arm differs: then no engines are compared in words."""

    base: str
    twin: str
    blocks: int
    firm: bool
    claims: bool
    headline: Field | None
    sweeps: list[Sweep]
    polite: list[Field]
    graph: list[Field]
    even: dict[str, models.Crossing]
    audit: AuditResult


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
        firm=session.blocks.get("headline", 0) >= analysis.FIRM and blocks >= 0.8 * analysis.FIRM,
        claims=claims,
        headline=field if compared else None,
        sweeps=_sweeps(cells, claims),
        polite=[field_of(cells, one, claims=claims) for one in session.conditions if one.sweep == "politeness"],
        graph=[field_of(cells, one, claims=claims) for one in session.conditions if one.sweep == "graph"],
        even=_break_even(cells, headline) if headline and claims else {},
        audit=_audit(cells),
    )


def field_of(
    cells: Cells, condition: Condition, more: Sequence[str] = (), *, all_pairs: bool = True, claims: bool = True
) -> Field:
    """All arms under one condition. The throughput of a job-size sweep is the cold rate, which it is about. Without
    `claims` every word is "inconclusive"."""
    rate = _rate_of(cells, condition)
    rates = cells.engines_with(condition, rate)
    base = rates.get(cells.base, {})
    twin = analysis.ratio(cells.blocks(condition, cells.twin, rate), base) if cells.twin else None
    margin, claims = analysis.rope(twin), claims and analysis.trusted(twin)
    family = rates if all_pairs else {}
    pairs = analysis.pairs(family, margin, claims)
    others = {arm: blocks for arm, blocks in rates.items() if arm != cells.base}
    against = analysis.against(base, others, margin, claims)
    if all_pairs:
        against = {arm: (ratio, _word_of(pairs, arm, cells.base)) for arm, (ratio, _) in against.items()}
    if twin:
        against[cells.twin] = (twin, analysis.word(twin, margin) if claims else "inconclusive")
    ceilings = _ceilings(cells, condition)
    metrics = (rate, *COSTS, *more)
    rows = [_row(cells, condition, arm, metrics, against.get(arm), ceilings) for arm in cells.arms]
    return Field(
        condition=condition,
        rate=rate,
        twin=twin,
        rope=margin,
        claims=claims,
        rows=[row for row in rows if row.levels],
        pairs=pairs,
        ceilings=ceilings,
        raw=analysis.level(cells.shared(condition, "raw_rate")),
    )


def _rate_of(cells: Cells, condition: Condition) -> str:
    """The metric shown as throughput under a condition."""
    if condition.sweep == "job size":
        return "cold_rate"
    whole = condition.sweep in WHOLE and cells.engines_with(condition, "crawl_rate")
    return "crawl_rate" if whole else cells.rate


def _ceilings(cells: Cells, condition: Condition) -> dict[str, float]:
    """Pages/s that no engine can exceed, by the name of the limit."""
    least = analysis.level(cells.shared(condition, "least_rate"))
    name = "politeness" if condition.delay else "the graph"
    ceilings = {
        "Little's law": models.little(condition.concurrency, condition.latency * (1 + condition.errors)),
        name: least.value if least else models.politeness(condition.hosts, condition.delay),
    }
    return {name: rate for name, rate in ceilings.items() if math.isfinite(rate)}


def cores(environment: dict[str, str]) -> int:
    """The cores the crawler may use, as recorded; 0 where there is no record."""
    first = environment.get("cores", "").split()[:1]
    return int(first[0]) if first and first[0].isdecimal() else 0


def _word_of(pairs: Sequence[Pair], arm: str, base: str) -> Word:
    """The word of the pair of `arm` and `base`, as seen from `arm`."""
    turned: dict[Word, Word] = {"faster": "slower", "slower": "faster"}
    for pair in pairs:
        if (pair.a, pair.b) == (arm, base):
            return pair.word
        if (pair.a, pair.b) == (base, arm):
            return turned.get(pair.word, pair.word)
    return "inconclusive"


def _row(
    cells: Cells,
    condition: Condition,
    arm: str,
    metrics: Sequence[str],
    against: tuple[Estimate, Word] | None,
    ceilings: dict[str, float],
) -> Row:
    values = {metric: blocks for metric in metrics if (blocks := cells.blocks(condition, arm, metric))}
    levels = {metric: level for metric, blocks in values.items() if (level := analysis.level(blocks))}
    cpu = levels.get("cpu_per_1000")
    mode = next((known.mode for known in cells.session.arms if known.name == arm), "")
    usable = 1 if mode == "async" else cores(cells.session.environment)
    roof = models.cpu_roof(cpu.value, usable) if cpu and usable else math.inf
    rate = levels.get(metrics[0])
    if rate and roof < rate.value:
        roof = math.inf
    name, lowest = min([("the CPU roof", roof), *ceilings.items()], key=lambda pair: pair[1])
    share = rate.value / lowest if rate and math.isfinite(lowest) else None
    ratio, said = against or (None, None)
    return Row(arm, arm == cells.twin, values, levels, ratio, said, roof, name if share is not None else "", share)


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
            if any(row.arm == arm and row.word == "equivalent" for row in field.rows)
        ]
    return Sweep(name, factor, levels, fields, crossings, ties)


def _changed_places(arm: str, at: float, levels: Sequence[float], fields: Sequence[Field]) -> bool:
    """Whether the words confirm the crossing: faster at some level on one side of it, slower at one on the other."""
    sides: tuple[set[Word], set[Word]] = (set(), set())
    for level, field in zip(levels, fields, strict=True):
        sides[level > at].update(row.word for row in field.rows if row.arm == arm and row.word)
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
