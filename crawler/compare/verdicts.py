"""Statements on engines besides their ratio to the base: the leaders, their costs, the growth of costs. Pure.

CPU, memory and switches get words as pages/s do, but from their own A/A ratio; "faster" there means a higher cost.
"""

from __future__ import annotations

from collections.abc import Mapping

from crawler.compare import analysis
from crawler.compare.analysis import Blocks, Word
from crawler.compare.fields import Field, Row
from crawler.compare.intervals import Estimate


def leaders(field: Field) -> tuple[Row, dict[str, Word]] | None:
    """The row with the most pages/s, and the engines not shown to be slower than it, with their words: "equivalent",
    "inconclusive" or "too few blocks". None where nothing may be claimed."""
    rows = [row for row in field.engines if field.rate in row.values]
    if not rows or not field.claims:
        return None
    best = max(rows, key=lambda row: row.levels[field.rate].value)
    others = {row.arm: row.values[field.rate] for row in rows if row is not best}
    said = {arm: word for arm, (_, word) in analysis.against(best.values[field.rate], others, field.margin).items()}
    return best, {arm: word for arm in others if (word := said.get(arm, "inconclusive")) != "slower"}


def costs_against(field: Field, base: str, metric: str) -> dict[str, tuple[Estimate, Word]]:
    """Each engine's cost as a multiple of the base's, and the word: "faster" is a higher cost. No word where the A/A
    arm differs in that cost, or nothing may be claimed."""
    return _judged({row.arm: row.values[metric] for row in field.rows if metric in row.values}, field, base)


def growth(first: Field, last: Field, base: str, metric: str) -> dict[str, tuple[Estimate, Word]]:
    """The growth of each engine's cost from one level to another, as a multiple of the base's growth, paired by block.
    The base cancels what all engines share: jobs may grow with the level, and starting up is part of their cost."""
    before = {row.arm: row.values.get(metric, {}) for row in first.rows}
    grown = {
        row.arm: {
            block: cost / before[row.arm][block]
            for block, cost in row.values.get(metric, {}).items()
            if before.get(row.arm, {}).get(block)
        }
        for row in last.rows
    }
    return _judged(grown, last, base, first.claims)


def _judged(
    values: Mapping[str, Blocks], field: Field, base: str, claims: bool = True
) -> dict[str, tuple[Estimate, Word]]:
    """The engines against the base, with the noise floor of this metric."""
    twin = next((row.arm for row in field.rows if row.twin), "")
    noise_of = analysis.ratio(values.get(twin, {}), values.get(base, {}))
    others = {arm: blocks for arm, blocks in values.items() if arm not in (base, twin)}
    claims = claims and field.claims and analysis.trusted(noise_of)
    return analysis.against(values.get(base, {}), others, analysis.margin_of(noise_of), claims)
