"""Which differences are real: ratios within blocks, and the words that their intervals allow. Pure, standard library
only.

Rules, and why:
- A and B are compared within a block, as log(A/B), so drift between blocks (a neighbour, the temperature) cancels.
- The region of practical equivalence (ROPE) is 3 %, or the difference between equal engines in the A/A arm, if that is
  larger.
- The word follows from the interval: *faster* or *slower* where all of it lies beyond the ROPE, *equivalent* where all
  of it lies inside, *inconclusive* otherwise. With fewer than 5 blocks the word is always *inconclusive*.
- Many pairs are multiple comparisons: *faster* and *slower* must also pass Holm's correction over all pairs shown
  together.
- Where the A/A interval excludes 1, the measurement separates two equal engines, so nothing is claimed at all.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from crawler.compare.intervals import LEAST, RESAMPLES, Estimate, estimate, t_tail

Key = TypeVar("Key")
Blocks = Mapping[int, float]
"""One metric of one arm under one condition: the value in each block."""

Word = Literal["faster", "slower", "equivalent", "inconclusive"]

FLOOR = 0.03
"""The smallest ROPE: differences below 3 % do not matter to a user."""

FIRM = 10
"""With fewer blocks a report is exploratory."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Arm `a` against arm `b`: the ratio a/b, Holm's p of lying beyond the ROPE, P(a > b in a block), the word."""

    a: str
    b: str
    ratio: Estimate
    p: float
    wins: float
    word: Word


def log_ratios(a: Blocks, b: Blocks) -> list[float]:
    """log(a/b) in every block that has both (a metric that is 0 has no ratio)."""
    return [math.log(a[k] / b[k]) for k in sorted(a.keys() & b.keys()) if a[k] > 0 and b[k] > 0]


def ratio(a: Blocks, b: Blocks, resamples: int = RESAMPLES) -> Estimate | None:
    """a/b with its intervals, None where no block has both."""
    logs = log_ratios(a, b)
    return estimate(logs, resamples).exp() if logs else None


def level(blocks: Blocks) -> Estimate | None:
    """The geometric mean over blocks, or the arithmetic mean where a value is 0. None where there is no block."""
    values = [blocks[k] for k in sorted(blocks)]
    if not values:
        return None
    if min(values) > 0:
        return estimate([math.log(value) for value in values]).exp()
    return estimate(values)


def rope(twin: Estimate | None) -> float:
    """The half-width of the region of practical equivalence, as a share: 0.03 means ratios from 1/1.03 to 1.03. `twin`
    is the ratio of the A/A arm."""
    if twin is None or not twin.known:
        return FLOOR
    return max(FLOOR, math.sqrt(twin.high / twin.low) - 1)


def trusted(twin: Estimate | None) -> bool:
    """Whether the A/A arm shows no difference between two equal engines (or there is none)."""
    return twin is None or twin.low <= 1 <= twin.high


def beyond(logs: Sequence[float], margin: float) -> float:
    """The two-sided p (Student) that the mean log-ratio does not lie beyond the ROPE on its side."""
    if len(logs) < 2:
        return 1.0
    distance = abs(statistics.fmean(logs)) - math.log1p(margin)
    error = statistics.stdev(logs) / math.sqrt(len(logs))
    if distance <= 0:
        return 1.0
    return t_tail(distance / error, len(logs) - 1) if error > 0 else 0.0


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): p values that may be compared with 0.05 together."""
    adjusted, worst = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        worst = max(worst, min(1.0, ps[index] * (len(ps) - rank)))
        adjusted[index] = worst
    return adjusted


def word(measured: Estimate, margin: float, p: float = 0.0) -> Word:
    """The word that the interval of a ratio allows."""
    if measured.n < LEAST:
        return "inconclusive"
    if measured.low > 1 + margin and p <= 0.05:
        return "faster"
    if measured.high < 1 / (1 + margin) and p <= 0.05:
        return "slower"
    if 1 / (1 + margin) <= measured.low and measured.high <= 1 + margin:
        return "equivalent"
    return "inconclusive"


def wins(a: Blocks, b: Blocks) -> float:
    """The share of blocks in which a is larger; a draw counts half."""
    both = a.keys() & b.keys()
    return sum((a[k] > b[k]) + 0.5 * (a[k] == b[k]) for k in both) / len(both) if both else math.nan


def family(
    logs: Mapping[Key, Sequence[float]], margin: float, claims: bool, resamples: int = RESAMPLES
) -> dict[Key, tuple[Estimate, float, Word]]:
    """Ratios judged together: each with its p, Holm-corrected over all of them, and its word. Without `claims` all are
    inconclusive."""
    ps = holm([beyond(found, margin) for found in logs.values()])
    judged = {}
    for (key, found), p in zip(logs.items(), ps, strict=True):
        measured = estimate(found, resamples).exp()
        said: Word = word(measured, margin, p) if claims else "inconclusive"
        judged[key] = (measured, p, said)
    return judged


def against(
    base: Blocks, others: Mapping[str, Blocks], margin: float, claims: bool = True
) -> dict[str, tuple[Estimate, Word]]:
    """Every arm's ratio to the base and its word, as one family."""
    logs = {arm: found for arm, blocks in others.items() if (found := log_ratios(blocks, base))}
    return {arm: (measured, said) for arm, (measured, _, said) in family(logs, margin, claims).items()}


def pairs(cells: Mapping[str, Blocks], margin: float, claims: bool = True, resamples: int = RESAMPLES) -> list[Pair]:
    """Every pair of arms that share a block, as one family."""
    logs = {(a, b): found for a, b in itertools.combinations(cells, 2) if (found := log_ratios(cells[a], cells[b]))}
    return [
        Pair(a, b, measured, p, wins(cells[a], cells[b]), said)
        for (a, b), (measured, p, said) in family(logs, margin, claims, resamples).items()
    ]
