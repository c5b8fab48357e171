"""When a page is due again.

Rules, and why:
- With fewer than FEW visits the interval halves towards the shortest one after a change and grows by half without one
  (StormCrawler's AdaptiveScheduler): that needs no statistics.
- From then on it is ln 2 / rate: the page has then changed with a probability of one half.
- Both stay between `shortest` and `longest` seconds.
- The due time is moved by up to JITTER of the interval either way, by the hash of URL and visit. Pages that were found
  together would else be due together for ever, and a random draw could not be repeated.
"""

from __future__ import annotations

import math

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.revisit.change_rate import Observation, shrunk

FEW = 3
JITTER = 0.1
GROWTH = 1.5
_SPAN = float(2**64)


class RevisitBounds(msgspec.Struct, frozen=True):
    """The shortest, first and longest time between two visits, in seconds."""

    shortest: float = 3600.0
    first: float = 86_400.0
    longest: float = 365 * 86_400.0


class Known(msgspec.Struct, frozen=True):
    """What a crawl knows of a page's changes. `visited_at`: Unix seconds of the last such answer; `interval`:
    seconds, that of the rule for few visits."""

    visited_at: float
    interval: float
    visits: tuple[Observation, ...] = ()


def rate_of(known: Known, host: float | None) -> float:
    """Changes per second; `host` is the mean rate of the pages of its host, None where it is not known."""
    if len(known.visits) < FEW and host is None:
        return math.log(2.0) / known.interval
    return shrunk(known.visits, host)


def interval_after(known: Known, host: float | None, bounds: RevisitBounds) -> float:
    """Seconds until the next visit."""
    if len(known.visits) < FEW:
        return _within(known.interval, bounds)
    rate = rate_of(known, host)
    return _within(math.log(2.0) / rate, bounds) if rate > 0.0 else bounds.longest


def stepped(interval: float, changed: bool, bounds: RevisitBounds) -> float:
    """The interval of the rule for few visits, after one more."""
    return _within((interval + bounds.shortest) / 2 if changed else interval * GROWTH, bounds)


def due_at(url: str, known: Known, host: float | None, bounds: RevisitBounds) -> float:
    """The Unix time at which a page is due."""
    drawn = xxh3_64_intdigest(f"{known.visited_at!r} {url}".encode(errors="surrogatepass")) / _SPAN
    return known.visited_at + interval_after(known, host, bounds) * (1.0 + JITTER * (2.0 * drawn - 1.0))


def _within(interval: float, bounds: RevisitBounds) -> float:
    return min(max(interval, bounds.shortest), bounds.longest)
