"""Pages per second as they were stored: the times are those of the commits of the crawl's frontier. Pure.

Rules, and why:
- A page counts when it is committed: read, decided on, and safe against a kill. The server only sees that a page was
  sent. By its clock an engine that fetches everything first and parses afterwards would be nine times as fast.
- The steady window leaves out the first and the last tenth of the pages, as the referee's does. A crawl that is one
  commit has none.
- `possible`: in a window no crawl can store more pages a second than its slots allow, given how long the web itself
  takes for these very pages (Little's law). A rate beyond it is a fault of the measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

EDGE = 10
ENOUGH = 3
"""Pages that have a steady window."""


class StoredRates(NamedTuple):
    """Pages/s in the steady window (0 where there is none) and over the whole crawl; what was `possible` for the pages
    of the window (inf where the web takes no time); seconds from the first request to the last commit."""

    steady: float
    possible: float
    whole: float
    seconds: float


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
    inside = [url for url, at in stored_at.items() if begin < at <= end]
    took = sum(map(busy, inside))
    possible = slots * len(inside) / took if took else float("inf")
    return StoredRates(len(inside) / (end - begin), possible, whole, seconds)
