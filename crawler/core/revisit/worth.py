"""Which known pages a re-crawl asks for.

Rules, and why:
- Without a budget it asks for all that is due.
- With one it asks for so many pages, those that a visit is worth most for, due or not. What is due first would be spent
  on pages that change all the time (simulated: up to 12 % less fresh than asking for each in turn); to leave a part of
  the budget would make the copy older and save nothing that was asked to be saved.
- The worth of a visit, t seconds after the last one, to a page that changes at rate r is (1 - (1 + r t) e^(-r t)) / r:
  the freshness gained by visiting now rather than never, in seconds (Azar, Horvitz, Lubetzky, Peres, Shahaf: Tractable
  near-optimal policies for crawling, PNAS 2018). It falls for pages that change faster than they can be followed: a
  copy of these is stale again before anyone reads it, and the budget does more elsewhere.
- The rate is not known, so the worth is averaged over what is believed of it.
- A page that is known to have changed is worth 1 / r: the copy is fresh until the next change. So it comes before most
  that may have changed.
- A page that was never visited comes first. Ties are broken by URL, so that two runs choose alike.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

import msgspec

from crawler.core.revisit.change_rate import RATES, Weights


class Candidate(msgspec.Struct, frozen=True):
    """A known page: what a visit is worth now, in seconds of freshness (infinite: never visited), and when it is due,
    in Unix seconds."""

    url: str
    worth: float
    due_at: float


def worth(rate: float, age: float) -> float:
    """The value of a visit to a page that changes at `rate` per second, `age` seconds after the last; in seconds."""
    expected = rate * max(age, 0.0)
    if expected < 1e-4:  # the terms cancel each other: the first one of their series
        return expected * max(age, 0.0) / 2
    return (1.0 - (1.0 + expected) * math.exp(-expected)) / rate


def expected_worth(belief: Weights, age: float) -> float:
    """`worth`, averaged over the rates that are believed in."""
    return math.fsum(weight * worth(rate, age) for weight, rate in zip(belief, RATES, strict=True))


def worth_of_change(belief: Weights) -> float:
    """The value of a visit to a page that has changed, in seconds."""
    return math.fsum(weight / rate for weight, rate in zip(belief, RATES, strict=True))


def chosen(candidates: Iterable[Candidate], budget: int | None, now: float) -> list[str]:
    """The URLs to ask for at `now`, most valuable first."""
    if budget is None:
        ordered = sorted((one for one in candidates if one.due_at <= now), key=_order)
    else:
        ordered = heapq.nsmallest(budget, candidates, key=_order)
    return [one.url for one in ordered]


def _order(one: Candidate) -> tuple[float, str]:
    return -one.worth, one.url
