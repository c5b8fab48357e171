"""Drift and outliers, which could fake a difference. Pure, standard library only.

Outliers are counted and shown, not dropped: users get slow runs, too.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drift:
    """The change per step of run order (Theil-Sen), its 95 % interval (Sen 1968), and the number of steps."""

    slope: float
    low: float
    high: float
    steps: float

    @property
    def total(self) -> float:
        """The change over the whole session."""
        return self.slope * self.steps

    @property
    def shown(self) -> bool:
        """Whether the interval excludes 0 (no drift)."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Outliers:
    """Values beyond Tukey's fences: 1.5 (mild) and 3 (severe) interquartile ranges outside the quartiles."""

    mild: int
    severe: int
    of: int

    def plus(self, other: Outliers) -> Outliers:
        """The sum over two cells."""
        return Outliers(self.mild + other.mild, self.severe + other.severe, self.of + other.of)


def theil_sen(points: Sequence[tuple[float, float]]) -> Drift | None:
    """The median of the slopes between all pairs of (order, value). None where fewer than 3 orders differ."""
    slopes = sorted((q[1] - p[1]) / (q[0] - p[0]) for p, q in itertools.combinations(points, 2) if q[0] != p[0])
    n = len(points)
    if n < 3 or not slopes:
        return None
    reach = 1.959964 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, math.floor((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))
    orders = [order for order, _ in points]
    return Drift(statistics.median(slopes), slopes[low], slopes[high], max(orders) - min(orders))


def tukey(values: Sequence[float]) -> Outliers:
    """The number of values beyond the fences; 0 for fewer than 4 values, whose quartiles are meaningless."""
    if len(values) < 4:
        return Outliers(0, 0, len(values))
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    outside = [max(first - value, value - third) for value in values]
    spread = third - first
    severe = sum(far > 3 * spread for far in outside)
    return Outliers(sum(far > 1.5 * spread for far in outside) - severe, severe, len(values))
