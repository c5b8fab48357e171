"""Which pages a re-crawl with a budget asks for.

Rules, and why:
- What is due comes before what is not, and among both the more valuable first. A budget that is larger than what is due
  is spent on the rest: to leave it would make the copy older and save nothing that was asked to be saved.
- The value of a visit, t seconds after the last one, to a page that changes at rate r is (1 - (1 + r t) e^(-r t)) / r:
  the freshness gained by visiting now rather than never, in seconds (Azar, Horvitz, Lubetzky, Peres, Shahaf: Tractable
  near-optimal policies for crawling, PNAS 2018). It falls for pages that change all the time: a copy of these is stale
  again before anyone reads it, and the budget does more elsewhere.
- A page that was never visited has no rate: it comes first.
- Ties are broken by URL, so that two runs choose alike.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

import msgspec


class Candidate(msgspec.Struct, frozen=True):
    """A known page: its rate in changes per second (None: never visited), when it was visited and when it is due, in
    Unix seconds."""

    url: str
    rate: float | None
    visited_at: float
    due_at: float


def worth(rate: float, age: float) -> float:
    """The value of a visit to a page that changes at `rate` per second, `age` seconds after the last; in seconds."""
    expected = rate * max(age, 0.0)
    if expected < 1e-4:  # the terms cancel each other: the first one of their series
        return expected * max(age, 0.0) / 2
    return (1.0 - (1.0 + expected) * math.exp(-expected)) / rate


def chosen(candidates: Iterable[Candidate], budget: int | None, now: float, *, due_only: bool = False) -> list[str]:
    """The URLs to ask for at `now`, most valuable first: at most `budget` of them (None: all). `due_only` leaves out
    what is not due, even where the budget has room."""
    taken = (one for one in candidates if not due_only or one.due_at <= now)
    if budget is None:
        ordered = sorted(taken, key=lambda one: _order(one, now))
    else:
        ordered = heapq.nsmallest(budget, taken, key=lambda one: _order(one, now))
    return [one.url for one in ordered]


def _order(one: Candidate, now: float) -> tuple[bool, float, str]:
    if one.rate is None:
        return False, -math.inf, one.url
    return one.due_at > now, -worth(one.rate, now - one.visited_at), one.url
