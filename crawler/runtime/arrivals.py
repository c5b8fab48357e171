"""Fetches that start by a schedule (the key `arrivals`): an engine is measured under a load that it does not choose.

The k-th fetch may start k / rate seconds after the first. One that cannot, because all slots are taken or the engine is
busy, is owed: it starts as soon as it can, and the ones after it are not put off.
"""

from __future__ import annotations

from crawler.core.messages import Actions

TICK = 0.0005
"""Half a tick of uvloop's clock, in seconds: it rounds a wait to whole milliseconds, and one that ended early would
only be begun again."""


class ArrivalSchedule:
    """Counts the fetches of an engine against a schedule of `rate` fetches per second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._begun_at: float | None = None
        self._started = 0
        self._left = 0

    def see(self, actions: Actions) -> None:
        """Count the fetches that start with these actions."""
        self._started += len(actions.fetches)
        self._left -= len(actions.fetches)

    def room(self, now: float) -> int:
        """How many fetches are due and have not started. The first call begins the schedule."""
        if self._begun_at is None:
            self._begun_at = now
        self._left = max(0, int((now - self._begun_at) * self._rate) + 1 - self._started)
        return self._left

    def next_at(self) -> float | None:
        """When to ask for `room` again; None where the last answer left some, so that only work is missing. A fetch
        that has become due since an answer of 0 is due in the past: nothing else may wake the engine."""
        if self._begun_at is None or self._left > 0:
            return None
        return self._begun_at + self._started / self._rate + TICK
