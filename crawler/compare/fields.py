"""All arms under one condition: their levels, their ratios to the base, and the ceilings that limit them. Pure.

Rules, and why:
- All pairs of a headline are one family for Holm's correction; in a sweep, the engines against the base at all of its
  levels are, since one figure shows them. Arms that take part in a headline alone (other clients, another loop) are
  only compared with the base: in all pairs they would cost the others their words.
- A crawl of a graph, polite or not, has no real steady window: it grows, and ends with a few slow hosts. Its throughput
  is that of the whole crawl, and its ceiling the limit of any crawl of this web (`least_rate`, see
  crawler.compare.envelope); the share of it is the engine's efficiency. Without that metric the limit of politeness is
  hosts / delay.
- A share of errors is fetched twice (the second attempt heals), so a slot is held 1 + errors times the latency.
- The lowest ceiling is the one that limits an arm; the arm's share of it shows how much the engine itself still costs.
  The raw loop is drawn but is no ceiling, because several processes can exceed one. A CPU roof below the measured
  pages/s is no ceiling either: in a job of few pages most of the CPU is that of the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from crawler.compare import analysis, models
from crawler.compare.analysis import Blocks, Pair, Word
from crawler.compare.cells import Cells
from crawler.compare.intervals import Estimate
from crawler.compare.records import Condition
from crawler.compare.workload import FLAT

WHOLE = ("graph", "politeness")
"""The sweeps whose throughput is that of the whole crawl."""

COSTS = ("cpu_per_1000", "memory", "switches_per_page", "overhead_p99")


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
    """All arms under one condition: the A/A ratio, the margin beyond which a ratio is a difference, whether anything
    may be claimed, the rows, the pairs (headlines only), the ceilings in pages/s by name, the raw loop."""

    condition: Condition
    rate: str
    twin: Estimate | None
    margin: float
    claims: bool
    rows: list[Row]
    pairs: list[Pair]
    ceilings: dict[str, float]
    raw: Estimate | None

    @property
    def engines(self) -> list[Row]:
        """The rows without the A/A arm."""
        return [row for row in self.rows if not row.twin]

    def row(self, arm: str, metric: str = "") -> Row | None:
        """The row of an arm, if it has the metric ("": throughput)."""
        return next((row for row in self.rows if row.arm == arm and (metric or self.rate) in row.levels), None)


def field_of(
    cells: Cells, condition: Condition, more: Sequence[str] = (), *, all_pairs: bool = True, claims: bool = True
) -> Field:
    """All arms under one condition; `more` are metrics besides throughput and costs. Without `claims` every word is
    "inconclusive"."""
    rate = rate_of(cells, condition)
    rates = cells.engines_with(condition, rate)
    base = rates.get(cells.base, {})
    twin = analysis.ratio(cells.blocks(condition, cells.twin, rate), base) if cells.twin else None
    margin, claims = analysis.margin_of(twin), claims and analysis.trusted(twin)
    everywhere = {arm: blocks for arm, blocks in rates.items() if arm in cells.everywhere}
    pairs = analysis.pairs(everywhere, margin, claims) if all_pairs else []
    others = {arm: blocks for arm, blocks in rates.items() if arm != cells.base}
    against = analysis.against(base, others, margin, claims)
    if all_pairs:
        words = _words_against(pairs, cells.base)
        against = {
            arm: (ratio, words.get(arm, "inconclusive" if arm in everywhere else word))
            for arm, (ratio, word) in against.items()
        }
    if twin:
        against[cells.twin] = (twin, analysis.word(twin, margin) if claims else "inconclusive")
    ceilings = _ceilings(cells, condition)
    metrics = (rate, *COSTS, *more)
    rows = [_row(cells, condition, arm, metrics, against.get(arm), ceilings) for arm in cells.arms]
    return Field(
        condition=condition,
        rate=rate,
        twin=twin,
        margin=margin,
        claims=claims,
        rows=[row for row in rows if row.levels],
        pairs=pairs,
        ceilings=ceilings,
        raw=analysis.level(cells.shared(condition, "raw_rate")),
    )


def judged_together(fields: Sequence[Field], base: str) -> list[Field]:
    """The fields of one figure with the words of their engines corrected over all of them."""
    logs: dict[tuple[int, str], list[float]] = {}
    for place, field in enumerate(fields):
        ours = next((row.values.get(field.rate, {}) for row in field.rows if row.arm == base), {})
        for row in field.engines:
            if row.arm != base and (found := analysis.log_ratios(row.values.get(field.rate, {}), ours)):
                logs[place, row.arm] = found
    margins = {key: fields[key[0]].margin for key in logs if fields[key[0]].claims}
    words = {key: said for key, (_, said) in analysis.family(logs, margins).items()}
    return [
        replace(field, rows=[replace(row, word=words.get((place, row.arm), row.word)) for row in field.rows])
        for place, field in enumerate(fields)
    ]


def rate_of(cells: Cells, condition: Condition) -> str:
    """The metric shown as throughput under a condition: for job sizes the cold rate, which that sweep is about."""
    if condition.sweep == "job size":
        return "cold_rate"
    whole = condition.sweep in WHOLE and cells.engines_with(condition, "crawl_rate")
    return "crawl_rate" if whole else cells.rate


def _ceilings(cells: Cells, condition: Condition) -> dict[str, float]:
    """Pages/s that no engine can exceed, by the name of the limit."""
    least = analysis.level(cells.shared(condition, "least_rate"))
    possible = analysis.level(cells.shared(condition, "possible_rate")) if condition.workload == FLAT else None
    name = "politeness" if condition.delay else "the graph"
    ceilings = {
        "Little's law": possible.value
        if possible
        else models.little(condition.concurrency, condition.latency * (1 + condition.errors)),
        name: least.value if least else models.politeness(condition.hosts, condition.delay),
    }
    return {name: rate for name, rate in ceilings.items() if math.isfinite(rate)}


def _words_against(pairs: Sequence[Pair], base: str) -> dict[str, Word]:
    """The words of the pairs with the base, as seen from the other arm."""
    turned: dict[Word, Word] = {"faster": "slower", "slower": "faster"}
    words = {pair.a: pair.word for pair in pairs if pair.b == base}
    return words | {pair.b: turned.get(pair.word, pair.word) for pair in pairs if pair.a == base}


def _row(
    cells: Cells,
    condition: Condition,
    arm: str,
    metrics: Sequence[str],
    against: tuple[Estimate, Word] | None,
    ceilings: Mapping[str, float],
) -> Row:
    values = {metric: blocks for metric in metrics if (blocks := cells.blocks(condition, arm, metric))}
    levels = {metric: level for metric, blocks in values.items() if (level := analysis.level(blocks))}
    cpu, rate = levels.get("cpu_per_1000"), levels.get(metrics[0])
    roof = models.cpu_roof(cpu.value, cells.cores_of(arm)) if cpu else math.inf
    if rate and roof < rate.value:
        roof = math.inf
    name, lowest = min([("the CPU roof", roof), *ceilings.items()], key=lambda pair: pair[1])
    share = rate.value / lowest if rate and math.isfinite(lowest) else None
    ratio, said = against or (None, None)
    return Row(arm, arm == cells.twin, values, levels, ratio, said, roof, name if share is not None else "", share)
