"""When a page is due again.

Rules, and why:
- With fewer than FEW visits after the first the interval halves towards the shortest one after a change and grows by
  half without one (StormCrawler's AdaptiveScheduler): that needs no statistics.
- From then on a page is due when it has changed with a probability of one half. With one certain rate that is after
  ln 2 / rate.
- Both stay between `shortest` and `longest` seconds.
- The due time is moved by up to JITTER of the interval either way, by the hash of URL and visit. Pages that were found
  together would else be due together for ever, and a random draw could not be repeated.
"""

from __future__ import annotations

import math

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.revisit.change_rate import Observation, Weights, unchanged_chance

FEW = 3
JITTER = 0.1
GROWTH = 1.5
CLOSE = 1.001
"""An interval is found up to this factor."""
_SPAN = float(2**64)


class RevisitBounds(msgspec.Struct, frozen=True):
    """The shortest, first and longest time between two visits, in seconds."""

    shortest: float = 3600.0
    first: float = 86_400.0
    longest: float = 30 * 86_400.0


class Known(msgspec.Struct, frozen=True):
    """What a crawl knows of a page's changes. `visited_at`: Unix seconds of the last such answer (0.0: never);
    `interval`: seconds, that of the rule for few visits; `moved`: a sitemap tells that it changed after that visit."""

    visited_at: float
    interval: float
    visits: tuple[Observation, ...] = ()
    moved: bool = False


def interval_after(known: Known, belief: Weights, bounds: RevisitBounds) -> float:
    """Seconds until the next visit."""
    if sum(not one.is_first for one in known.visits) < FEW:
        return _within(known.interval, bounds)
    low, high = bounds.shortest, bounds.longest
    if unchanged_chance(belief, high) > 0.5:
        return high
    while high > low * CLOSE:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if unchanged_chance(belief, middle) > 0.5 else (low, middle)
    return low


def stepped(interval: float, changed: bool, bounds: RevisitBounds) -> float:
    """The interval of the rule for few visits, after one more."""
    return _within((interval + bounds.shortest) / 2 if changed else interval * GROWTH, bounds)


def due_at(url: str, known: Known, belief: Weights, bounds: RevisitBounds) -> float:
    """The Unix time at which a page is due; 0.0 where it was never visited."""
    if not known.visited_at:
        return 0.0
    drawn = xxh3_64_intdigest(f"{known.visited_at!r} {url}".encode(errors="surrogatepass")) / _SPAN
    return known.visited_at + interval_after(known, belief, bounds) * (1.0 + JITTER * (2.0 * drawn - 1.0))


def _within(interval: float, bounds: RevisitBounds) -> float:
    return min(max(interval, bounds.shortest), bounds.longest)
