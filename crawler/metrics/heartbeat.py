"""Measures scheduling lag: a beat is due every `period` seconds, and its lateness is recorded.

On an event loop a late beat means that something blocked the loop; on a thread, that the GIL or the core was taken. A
fetch of the same engine waits for the same, so the figure can be compared between engines.

Rules, and why:
- Beats are due at fixed times. A beat that is 50 ms late makes the ones due meanwhile late, too, and each is counted:
  otherwise a long stall would look like a single late beat among many punctual ones.
- A beat costs 1 microsecond on a loop that is busy anyway and 40 to 70 on a thread, which must be woken and get the
  GIL: 50 beats a second take 0.2 to 0.4 % of a core there. A period of 0 costs nothing.
- uvloop keeps time in whole milliseconds, so there a beat may be a millisecond late without any load.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from crawler.metrics.histogram import Histogram
from crawler.system.memory_shortage import wait_for
from crawler.system.threads import start_thread


class LagProbe:
    """Beats that are due every `period` seconds after `now` (monotonic); their lateness goes to a histogram."""

    def __init__(self, period: float, lateness: Histogram, now: float) -> None:
        self._period = period
        self._lateness = lateness
        self.due_at = now + period

    def beat(self, now: float) -> float:
        """Count every beat that is due; returns the seconds to the next one."""
        self._lateness.add(max(0.0, now - self.due_at))
        self.due_at += self._period
        while self.due_at <= now:
            self._lateness.add(now - self.due_at)
            self.due_at += self._period
        return self.due_at - now


@contextmanager
def measure_lag(period: float, lateness: Histogram) -> Iterator[None]:
    """Beat on a thread of this process. A period of 0: not at all."""
    if not period:
        yield
        return
    ended = threading.Event()
    pulse = LagProbe(period, lateness, monotonic())

    def work() -> None:
        wait = period
        while not wait_for(ended, wait):
            wait = pulse.beat(monotonic())

    thread = start_thread(work, "heartbeat")
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def beating_on_loop(period: float, lateness: Histogram) -> Iterator[None]:
    """Beat on the event loop that is running. A period of 0: not at all."""
    if not period:
        yield
        return
    loop = asyncio.get_running_loop()
    pulse = LagProbe(period, lateness, monotonic())

    timer: asyncio.TimerHandle

    def work() -> None:
        nonlocal timer
        timer = loop.call_later(pulse.beat(monotonic()), work)

    timer = loop.call_later(period, work)
    try:
        yield
    finally:
        timer.cancel()
