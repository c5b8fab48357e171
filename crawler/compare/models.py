"""Ceilings that no engine can exceed, and crossings of two engines. Pure, standard library only; nothing is fitted.

Rules, and why:
- Ceilings have no free parameter: Little's law, the CPU that a page costs, the raw loop, politeness. A gap to them is a
  fact.
- A crossing is found on straight lines between the levels in log-log space (monotone between levels, so without
  artefacts). Its interval ends where the band of intervals around those lines leaves zero. Where the band does not
  leave zero on one side, the two arms tie there, and no crossing is reported, because noise around a tie crosses often.
- A break-even point gets its interval in the same way, from the paired difference of two jobs' durations.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from crawler.compare.intervals import estimate


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the ratio of two arms passes 1, with its 95 % interval. `rising`: the ratio grows there."""

    at: float
    low: float
    high: float
    rising: bool


def little(concurrency: int, latency: float) -> float:
    """Little's law: pages/s with every slot always waiting for a server that takes `latency` seconds. inf at 0."""
    return concurrency / latency if latency > 0 else math.inf


def cpu_roof(cpu_per_1000: float, cores: int) -> float:
    """Pages/s when `cores` are fully busy and each thousand pages take `cpu_per_1000` CPU seconds. inf where
    either is unknown."""
    return 1000 * cores / cpu_per_1000 if cpu_per_1000 > 0 and cores else math.inf


def politeness(hosts: int, delay: float) -> float:
    """Pages/s when every host gets one request per `delay` seconds. inf without a delay."""
    return hosts / delay if delay > 0 else math.inf


def crossing(levels: Mapping[float, Sequence[float]]) -> Crossing | None:
    """The level at which two arms change places. `levels`: factor (above 0) -> log-ratios of its blocks. None where
    they do not, or where the data do not show it."""
    xs = [x for x in sorted(levels) if x > 0 and levels[x]]
    means = [statistics.fmean(levels[x]) for x in xs]
    roots = _roots(xs, means)
    if not roots:
        return None
    at, rising = roots[0]
    sign = 1 if rising else -1
    bands = [estimate([sign * value for value in levels[x]]) for x in xs]
    before = [x for x, _ in _roots(xs, [band.high for band in bands]) if x <= at]
    after = [x for x, _ in _roots(xs, [band.low for band in bands]) if x >= at]
    return Crossing(at, before[-1], after[0], rising) if before and after else None


def _roots(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, bool]]:
    """Where the straight lines through (log x, y) change sign, and whether y rises there."""
    found = []
    for (x, y), (later, then) in itertools.pairwise(zip(xs, ys, strict=True)):
        if y * then < 0 and math.isfinite(y) and math.isfinite(then):
            found.append((x * (later / x) ** (y / (y - then)), then > y))
    return found


def break_even(a: Mapping[int, tuple[float, float]], b: Mapping[int, tuple[float, float]]) -> Crossing | None:
    """The job size in pages at which the slower starter has caught up. By block: (seconds to start, pages/s).

    Model: a job of n pages lasts start + n / rate. `rising`: `a` is faster at larger jobs. None where one arm is ahead
    at every size, or the data do not show that both the start and the rate differ.
    """
    blocks = sorted(a.keys() & b.keys())
    starts = [b[k][0] - a[k][0] for k in blocks]
    pages = [1 / a[k][1] - 1 / b[k][1] for k in blocks]
    if len(blocks) < 2 or statistics.fmean(starts) * statistics.fmean(pages) <= 0:
        return None
    at = statistics.fmean(starts) / statistics.fmean(pages)

    def apart(size: float) -> bool:
        """Whether the durations of two jobs of this size differ significantly."""
        band = estimate([start - size * page for start, page in zip(starts, pages, strict=True)])
        return band.low > 0 or band.high < 0

    if not (apart(at / 1000) and apart(at * 1000)):
        return None
    rising = statistics.fmean(pages) < 0
    return Crossing(at, _edge(apart, at / 1000, at), _edge(apart, at * 1000, at), rising)


def _edge(apart: Callable[[float], bool], outside: float, inside: float) -> float:
    """The end of the interval, by bisection in log space."""
    for _ in range(24):
        middle = math.sqrt(outside * inside)
        outside, inside = (middle, inside) if apart(middle) else (outside, middle)
    return outside
