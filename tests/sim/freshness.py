"""How fresh a copy of a site stays that is visited each night within a budget, by the code that decides re-crawls.

Pages change by Poisson processes of known rates. Measured is the share of pages whose copy is up to date, averaged over
the time between two nights and over all nights after the first LEARNING.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum

from crawler.core.revisit.change_rate import NO_DATE, Observation, remembered
from crawler.core.revisit.choice import candidates, hosts_of
from crawler.core.revisit.due import Known, RevisitBounds, stepped
from crawler.core.revisit.worth import Candidate, chosen, worth

DAY = 86_400.0
LEARNING = 5
BOUNDS = RevisitBounds()
STILL = 1e-6
Draw = Callable[[random.Random], float]
"""Draws the rate of a page, in changes per day."""

TUNED: dict[str, Draw] = {
    "half never, 1/10 d, 0.7/d": lambda draw: draw.choice([STILL, STILL, 0.1, 0.7]),
    "half 5/d, half 1/20 d": lambda draw: draw.choice([5.0, 0.05]),
    "half 3/d, half 1/10 d": lambda draw: draw.choice([3.0, 0.1]),
    "news: 20 % 10/d, rest calm": lambda draw: draw.choice([10.0, 0.3, 0.3, 0.02, 0.02]),
    "lognormal, wide": lambda draw: draw.lognormvariate(-2.3, 2.0),
    "all alike: 1/5 d": lambda draw: 0.2,
    "docs: 95 % never, 0.5/d": lambda draw: 0.5 if draw.random() < 0.05 else STILL,
}
"""Webs on which the rules were chosen."""
HELD_OUT: dict[str, Draw] = {
    "half 8/d, half 1/30 d": lambda draw: draw.choice([8.0, 1 / 30]),
    "third 2/d, third 1/5 d, third never": lambda draw: draw.choice([2.0, 0.2, STILL]),
    "70 % 4/d, 30 % 1/7 d": lambda draw: 4.0 if draw.random() < 0.7 else 1 / 7,
    "shop: 10 % 6/d, 40 % 1/8 d, half never": lambda draw: draw.choice([6.0, *[1 / 8] * 4, *[STILL] * 5]),
    "pareto": lambda draw: 0.02 * draw.paretovariate(0.9),
    "forum: lognormal, 1/2 d": lambda draw: draw.lognormvariate(-0.7, 1.5),
    "all alike: 1/d": lambda draw: 1.0,
}
"""Webs that were looked at once, after the rules were chosen."""


class Policy(Enum):
    """In turns; by what visits found; by that and the pages' own dates; by dates that are always now; by the true
    rates."""

    TURNS = "turns"
    VISITS = "visits"
    DATES = "visits, dates"
    LIES = "lying dates"
    RATES = "true rates"


class Night:
    """A site of `pages` pages, visited each night with a budget of a `share` of it."""

    def __init__(self, draw_rate: Draw, pages: int, share: float, policy: Policy, seed: int) -> None:
        self._draw = random.Random(seed)
        self._rates = {f"http://x.test/{number}": max(draw_rate(self._draw), STILL) / DAY for number in range(pages)}
        self._budget = round(pages * share)
        self._policy = policy
        self._stale_at: dict[str, float] = {}
        self._known: dict[str, Known] = {}
        for url, rate in self._rates.items():
            self._visit(url, DAY, self._draw.expovariate(rate), first=True)

    def freshness(self, nights: int) -> float:
        """The share of fresh copies over so many nights."""
        shares = []
        for night in range(2, nights + 2):
            now = night * DAY
            fresh = [min(max(self._stale_at[url] - (now - DAY), 0.0), DAY) / DAY for url in self._rates]
            shares.append(sum(fresh) / len(fresh))
            for url in self._chosen(now):
                self._visit(url, now, self._draw.expovariate(self._rates[url]), first=False)
        return sum(shares[LEARNING:]) / len(shares[LEARNING:])

    def _visit(self, url: str, now: float, since: float, *, first: bool) -> None:
        """`since`: seconds since the last change, where there was one since the last visit."""
        before = self._known.get(url, Known(0.0, BOUNDS.first))
        changed = first or self._stale_at[url] <= now
        if not first:
            since = min(since, now - self._stale_at[url]) if changed else 1000 * DAY
        told = {Policy.DATES: since, Policy.LIES: 0.0}.get(self._policy, NO_DATE)
        if first:
            self._known[url] = Known(now, BOUNDS.first, (Observation(0.0, True, told),) if told >= 0.0 else ())
        else:
            visits = remembered(before.visits, Observation(now - before.visited_at, changed, told))
            self._known[url] = Known(now, stepped(before.interval, changed, BOUNDS), visits)
        self._stale_at[url] = now + self._draw.expovariate(self._rates[url])

    def _chosen(self, now: float) -> list[str]:
        if self._policy is Policy.TURNS:
            return sorted(self._known, key=lambda url: (self._known[url].visited_at, url))[: self._budget]
        if self._policy is Policy.RATES:
            ages = {url: now - known.visited_at for url, known in self._known.items()}
            pages = (Candidate(url, worth(self._rates[url], age), 0.0) for url, age in ages.items())
            return chosen(pages, self._budget, now)
        known = self._known.items()
        return chosen(candidates(known, hosts_of(known), BOUNDS, now), self._budget, now)


def mean_freshness(draw_rate: Draw, pages: int, share: float, policy: Policy, nights: int, seeds: int) -> float:
    """The freshness over so many nights, averaged over `seeds` sites."""
    return sum(Night(draw_rate, pages, share, policy, seed).freshness(nights) for seed in range(seeds)) / seeds
