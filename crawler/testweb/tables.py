"""Distributions as tables of whole numbers: `table[dice.below(len(table))]` is a draw.

A table holds the quantiles of a distribution at equal steps. Floating point is used only here, and every entry is
rounded, so that the last bits of a platform's exp() cannot change a page. The last half step of a tail is cut off.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp
from statistics import NormalDist

STEPS = 1_000
_PARETO = 1.5


@lru_cache(maxsize=64)
def lognormal(median: float, sigma: float, least: int = 0, most: int = 10**12) -> tuple[int, ...]:
    """A lognormal distribution, clipped."""
    normal = NormalDist()
    quantiles = (median * exp(sigma * normal.inv_cdf((n + 0.5) / STEPS)) for n in range(STEPS))
    return tuple(min(max(round(quantile), least), most) for quantile in quantiles)


@lru_cache(maxsize=64)
def pareto(least: float, most: float) -> tuple[int, ...]:
    """A Pareto tail from `least` on, cut at `most`."""
    return tuple(round(min(least * (1 - (n + 0.5) / STEPS) ** (-1 / _PARETO), most)) for n in range(STEPS))


@lru_cache(maxsize=4096)
def negative_binomial(mean: int, shape: int, most: int) -> tuple[int, ...]:
    """A negative binomial distribution around `mean`, clipped; constant for shape 0."""
    if not shape or not mean:
        return (min(mean, most),)
    stays = mean / (mean + shape)
    chance = total = (1 - stays) ** shape
    value, table = 0, []
    for n in range(STEPS):
        while total < (n + 0.5) / STEPS and value < most:
            value += 1
            chance *= stays * (value + shape - 1) / value
            total += chance
        table.append(value)
    return tuple(table)


def power_law(hosts: int, pages: int, exponent: float, largest: int) -> list[int]:
    """The sizes of `hosts` hosts, largest first, p(n) ~ n^-exponent, scaled so that they have `pages` pages in all.

    Raises ValueError where there are more hosts than pages.
    """
    if pages < hosts:
        raise ValueError(f"{pages} pages cannot be shared among {hosts} hosts")
    if not exponent:
        return [pages // hosts + (rank < pages % hosts) for rank in range(hosts)]
    weights = [n**-exponent for n in range(1, largest + 1)]
    whole, total, size, drawn = sum(weights), 0.0, 0, []
    for host in range(hosts):
        while size < largest and total < (host + 0.5) / hosts * whole:
            total += weights[size]
            size += 1
        drawn.append(size)
    beyond = sum(drawn) - hosts  # each has one page; only pages beyond that are scaled
    sizes = [1 + (size - 1) * (pages - hosts) // max(beyond, 1) for size in reversed(drawn)]
    sizes[0] += pages - sum(sizes)
    return sizes
