"""Pages per second as they were stored: the times are those of the commits of the crawl's frontier. Pure.

Rules, and why:
- A page counts when it is committed: read, decided on, and safe against a kill. The server only sees that a page was
  sent. By its clock an engine that fetches everything first and parses afterwards would be nine times as fast.
- The steady window leaves out the first and the last tenth of the pages, as the referee's does. A crawl that is one
  commit has none. The cut is fixed beforehand (truncation: Conway, Management Science 10, 1963). A rule that looks for
  the calmest window, as MSER-5 does (White, Simulation 69, 1997), would leave out the stalls of an engine.
- That the window is steady is not taken for granted (Barrett et al., "Virtual machine warmup blows hot and cold",
  OOPSLA 2017) but shown: `drift` compares its halves, each as a share of what was possible for its pages.
- `possible`: in a window no crawl can store more pages a second than its slots allow, given how long the web itself
  takes for these very pages (Little's law). A rate beyond it is a fault of the measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

EDGE = 10
ENOUGH = 3
"""Pages that have a steady window."""
ENOUGH_COMMITS = 16
"""Commits of a window whose halves can be compared: a batch more or less in one of them then hardly matters."""


class StoredRates(NamedTuple):
    """Pages/s in the steady window (0 where there is none) and over the whole crawl; what was `possible` for the pages
    of the window (inf where the web takes no time); seconds from the first request to the last commit; the second half
    of the window against the first, less 1 (None where it has fewer than ENOUGH_COMMITS)."""

    steady: float
    possible: float
    whole: float
    seconds: float
    drift: float | None = None


def stored_rates(
    stored_at: Mapping[str, float], first_request: float, slots: int, busy: Callable[[str], float]
) -> StoredRates:
    """`stored_at`: when each URL was committed. `first_request`: Unix time. `busy`: the seconds that the web takes for
    a URL, over all its attempts."""
    moments = sorted(stored_at.values())
    seconds = max(moments[-1] - first_request, 1e-9) if moments else 0.0
    whole = len(moments) / seconds if moments else 0.0
    edge = len(moments) // EDGE
    if len(moments) < ENOUGH or moments[edge] == moments[-1 - edge]:
        return StoredRates(0.0, float("inf"), whole, seconds)
    begin, end = moments[edge], moments[-1 - edge]
    steady, possible = _between(stored_at, begin, end, slots, busy)
    return StoredRates(steady, possible, whole, seconds, _drift(stored_at, begin, end, slots, busy))


def _between(
    stored_at: Mapping[str, float], begin: float, end: float, slots: int, busy: Callable[[str], float]
) -> tuple[float, float]:
    """Pages/s that were committed after `begin` and until `end`, and what was possible for these pages."""
    inside = [url for url, at in stored_at.items() if begin < at <= end]
    took = sum(map(busy, inside))
    return len(inside) / (end - begin), slots * len(inside) / took if took else float("inf")


def _drift(
    stored_at: Mapping[str, float], begin: float, end: float, slots: int, busy: Callable[[str], float]
) -> float | None:
    """The second half of a window against the first, less 1; they meet at the commit that is nearest to the middle."""
    moments = {at for at in stored_at.values() if begin < at <= end}
    middle = min(moments, key=lambda at: abs(at - (begin + end) / 2))
    if len(moments) < ENOUGH_COMMITS or middle == end:
        return None
    halves = _between(stored_at, begin, middle, slots, busy), _between(stored_at, middle, end, slots, busy)
    (first, _), (second, _) = halves
    if all(possible < float("inf") for _, possible in halves):
        first, second = (rate / possible for rate, possible in halves)
    return second / first - 1
