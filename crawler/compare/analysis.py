"""Which differences are real: ratios within blocks, and the words that their intervals allow. Pure, standard library
only.

Rules, and why:
- A and B are compared within a block, as log(A/B), so drift between blocks (a neighbour, the temperature) cancels.
- The region of practical equivalence is 3 %, whatever the noise: with a region that grows with the noise, a real
  difference of 10 % would be called equivalent on a noisy machine.
- The A/A arm shows how far noise alone reaches. *faster* or *slower*: the whole interval lies beyond the region and
  beyond that noise. *equivalent*: it lies inside the region, and the A/A arm's interval does, too. *inconclusive*:
  neither.
- A word needs LEAST blocks. With fewer it is *too few blocks*, and the ends that are shown are those of the range.
- Many comparisons are more than one chance to be wrong: *faster* and *slower* must also pass Holm's correction over all
  comparisons of a figure.
- Where the A/A interval excludes 1, the measurement separates two equal engines, so nothing is claimed at all.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from crawler.compare.intervals import Estimate, estimate, t_tail

Key = TypeVar("Key")
Blocks = Mapping[int, float]
"""One metric of one arm under one condition: the value in each block."""

Word = Literal["faster", "slower", "equivalent", "inconclusive", "too few blocks"]
TOO_FEW: Word = "too few blocks"

ROPE = 0.03
"""The region of practical equivalence: differences below 3 % do not matter to a user."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Arm `a` against arm `b`: the ratio a/b, the share of blocks in which `a` was ahead, the word."""

    a: str
    b: str
    ratio: Estimate
    wins: float
    word: Word


def log_ratios(a: Blocks, b: Blocks) -> list[float]:
    """log(a/b) in every block that has both (a metric that is 0 has no ratio)."""
    return [math.log(a[k] / b[k]) for k in sorted(a.keys() & b.keys()) if a[k] > 0 and b[k] > 0]


def ratio(a: Blocks, b: Blocks) -> Estimate | None:
    """a/b with its interval, None where no block has both."""
    logs = log_ratios(a, b)
    return estimate(logs).exp() if logs else None


def level(blocks: Blocks) -> Estimate | None:
    """The geometric mean over blocks, or the arithmetic mean where a value is 0. None where there is no block."""
    values = [blocks[k] for k in sorted(blocks)]
    if not values:
        return None
    if min(values) > 0:
        return estimate([math.log(value) for value in values]).exp()
    return estimate(values)


def margin_of(twin: Estimate | None) -> float:
    """How far from 1 a ratio must be to be a difference, as a share: 0.03 means beyond 1/1.03 and 1.03. More than ROPE
    where noise alone reaches further. `twin` is the ratio of the A/A arm."""
    if twin is None or not twin.known:
        return ROPE
    return max(ROPE, twin.high - 1, 1 / twin.low - 1)


def trusted(twin: Estimate | None) -> bool:
    """Whether the A/A arm shows no difference between two equal engines (or there is none)."""
    return twin is None or not twin.known or twin.low <= 1 <= twin.high


def beyond(logs: Sequence[float], margin: float) -> float:
    """The two-sided p (Student) that the mean log-ratio does not lie beyond the margin on its side."""
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
    """The word that the interval of a ratio allows, where only what is beyond the margin is a difference."""
    if not measured.known:
        return TOO_FEW
    if measured.low > 1 + margin and p <= 0.05:
        return "faster"
    if measured.high < 1 / (1 + margin) and p <= 0.05:
        return "slower"
    if margin <= ROPE and measured.low >= 1 / (1 + ROPE) and measured.high <= 1 + ROPE:
        return "equivalent"
    return "inconclusive"


def wins(a: Blocks, b: Blocks) -> float:
    """The share of blocks in which a is larger; a draw counts half."""
    both = a.keys() & b.keys()
    return sum((a[k] > b[k]) + 0.5 * (a[k] == b[k]) for k in both) / len(both) if both else math.nan


def family(logs: Mapping[Key, Sequence[float]], margins: Mapping[Key, float]) -> dict[Key, tuple[Estimate, Word]]:
    """Ratios judged together, each with its word. A key without a margin may claim nothing: it is inconclusive."""
    ps = holm([beyond(found, margins.get(key, ROPE)) for key, found in logs.items()])
    judged: dict[Key, tuple[Estimate, Word]] = {}
    for (key, found), p in zip(logs.items(), ps, strict=True):
        measured = estimate(found).exp()
        judged[key] = (measured, word(measured, margins[key], p) if key in margins else "inconclusive")
    return judged


def against(
    base: Blocks, others: Mapping[str, Blocks], margin: float, claims: bool = True
) -> dict[str, tuple[Estimate, Word]]:
    """Every arm's ratio to the base and its word, as one family."""
    logs = {arm: found for arm, blocks in others.items() if (found := log_ratios(blocks, base))}
    return family(logs, dict.fromkeys(logs, margin) if claims else {})


def pairs(cells: Mapping[str, Blocks], margin: float, claims: bool = True) -> list[Pair]:
    """Every pair of arms that share a block, as one family."""
    logs = {(a, b): found for a, b in itertools.combinations(cells, 2) if (found := log_ratios(cells[a], cells[b]))}
    return [
        Pair(a, b, measured, wins(cells[a], cells[b]), said)
        for (a, b), (measured, said) in family(logs, dict.fromkeys(logs, margin) if claims else {}).items()
    ]
