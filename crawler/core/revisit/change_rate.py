"""How often a page changes, from what its visits found: a belief over the rates of RATES.

Rules, and why:
- Changes are taken for a Poisson process. A visit tells only whether there was at least one change in the gap since the
  visit before: at rate r with a chance of 1 - e^(-r gap). (Cho, Garcia-Molina: Estimating Frequency of Change, 2003.)
- Where the time of the last change is known it tells more: r e^(-r since). So the first visit tells something already.
- One page is seen a few times only, and the pages of a host differ by orders of magnitude. So there is no estimate of
  one rate, but a weight for each of RATES: the likelihood of the visits times what the other pages of the host say (the
  prior: empirical Bayes). What follows from a belief is computed for each rate and averaged. A page of which little is
  known is thus neither visited all the time nor given up.
- The prior is the mixture under which the visits to the pages of the host are likeliest, found by expectation
  maximisation; UNKNOWN_PAGES pages of which nothing is known are added.
- Only the last MOST visits count: what was true years ago need not be true now.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import add, mul

import msgspec

MOST = 16
DAY = 86_400.0
SLOWEST, FASTEST, POINTS = 1 / (1000 * DAY), 24 / DAY, 24
RATES = tuple(SLOWEST * (FASTEST / SLOWEST) ** (point / (POINTS - 1)) for point in range(POINTS))
"""Changes per second: from one in 1000 days to one an hour, evenly spaced by their logarithms."""
UNKNOWN_PAGES = 2.0
ROUNDS = 10
"""Rounds of expectation maximisation. More change no decision."""
SHORTEST_GAP = 1.0
"""Seconds between two visits; shorter ones count as this."""
NO_DATE = -1.0

Weights = tuple[float, ...]
"""A weight for each of RATES."""
FLAT: Weights = (1.0 / POINTS,) * POINTS
_LOGS = tuple(math.log(rate) for rate in RATES)


class Observation(msgspec.Struct, frozen=True, array_like=True):
    """One answer that showed whether a page had changed, `gap` seconds after the one before; the page itself dates its
    last change `since` seconds before the answer (NO_DATE: it does not). The first answer has no gap, 0.0, and tells
    only `since`."""

    gap: float
    changed: bool
    since: float = NO_DATE

    @property
    def is_first(self) -> bool:
        """Whether there was no answer before."""
        return self.gap <= 0.0

    @property
    def moved(self) -> bool:
        """Whether the page says that it changed after the answer before."""
        return 0.0 <= self.since <= self.gap


def remembered(visits: tuple[Observation, ...], latest: Observation) -> tuple[Observation, ...]:
    """The visits to keep, with the latest at the end."""
    return (*visits, latest)[-MOST:]


def likelihood(visits: Iterable[Observation], dated: bool) -> Weights:
    """How likely these visits are at each rate; the largest is 1. `dated`: the pages' own dates can be trusted."""
    seconds, changes, gaps = 0.0, 0, []
    for one in visits:
        if dated and (one.moved if not one.is_first else one.since >= 0.0) and one.changed:
            seconds += one.since
            changes += 1
        elif one.is_first:
            continue
        elif one.changed:
            gaps.append(max(one.gap, SHORTEST_GAP))
        else:
            seconds += max(one.gap, SHORTEST_GAP)
    found = [changes * log - rate * seconds for rate, log in zip(RATES, _LOGS, strict=True)]
    for gap in gaps:
        found = [one + math.log(-math.expm1(-rate * gap)) for one, rate in zip(found, RATES, strict=True)]
    largest = max(found)
    return tuple(math.exp(one - largest) for one in found)


def prior(pages: Sequence[Weights]) -> Weights:
    """The mixture of rates under which pages with these likelihoods are likeliest."""
    mixture = FLAT
    for _ in range(ROUNDS if pages else 0):
        sums = [UNKNOWN_PAGES * weight for weight in FLAT]
        for page in pages:
            sums = [*map(add, sums, belief(page, mixture))]
        mixture = tuple(one / (len(pages) + UNKNOWN_PAGES) for one in sums)
    return mixture


def belief(likelihood: Weights, prior: Weights) -> Weights:
    """The weight of each rate for a page, by its own visits and those of its host."""
    joint = [*map(mul, likelihood, prior)]
    return tuple(map(mul, joint, repeat(1.0 / sum(joint))))


def unchanged_chance(belief: Weights, seconds: float) -> float:
    """The probability that a page has not changed `seconds` after a visit."""
    return math.fsum(weight * math.exp(-rate * max(seconds, 0.0)) for weight, rate in zip(belief, RATES, strict=True))
