"""Holds a run below its limit of memory by letting fewer fetches be in flight.

Rules:
- The process tree is weighed a few times a second (crawler/metrics/process_tree.py). Up to SLOW_AT of the limit nothing
  is held back. From there to STOP_AT fewer fetches may be in flight, in proportion to what is left; beyond it one. So
  it is never stuck: a body that lands alone is written and let go.
- Nothing is let go at once: as long as the weight stays below SLOW_AT twice as many as before, until it is no bound.
- Above SLOW_AT this process gives back to the system what is free in it, every RELIEF_PERIOD.
- It is told: a pause for `memory` begins when fewer may be in flight than are asked for, and ends when it is no bound.
- A program that uses the crawler may have been large before: `outside` is what it took beyond a crawler's needs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep

from crawler.core.bounds import PLENTY
from crawler.core.messages import Pause
from crawler.metrics.process_tree import resident_memory
from crawler.system.memory_shortage import relieve
from crawler.system.threads import start_thread

SLOW_AT = 0.85
STOP_AT = 0.95
RELIEF_PERIOD = 2.0


def keep_lean(limit: int) -> None:
    """For a process that others hold back: give back what is free in it whenever it nears its limit. On a thread that
    lives as long as the process."""

    def work() -> None:
        while True:
            sleep(RELIEF_PERIOD)
            with suppress(OSError, MemoryError):
                if resident_memory() > limit * SLOW_AT:
                    relieve()

    start_thread(work, "lean")


class MemoryLimiter:
    """Bounds what may be in flight. `release` is called, from the thread that weighs, when the bound rises; `pause`
    when holding back begins and ends. `in_flight` is what the engine would have."""

    def __init__(
        self,
        limit: int,
        in_flight: int,
        release: Callable[[], None],
        pause: Callable[[Pause, bool], None],
        outside: int = 0,
    ) -> None:
        self._slow = limit * SLOW_AT + outside
        self._stop = limit * STOP_AT + outside
        self._wanted = max(1, in_flight)
        self._release = release
        self._pause = pause
        self._most = PLENTY
        self._relieved_at = 0.0

    @property
    def most(self) -> int:
        """How many fetches may be in flight."""
        return self._most

    def on_sample(self, memory: int) -> None:
        """So many bytes are taken now."""
        before = self._most
        if memory > self._slow:
            self._relieve()
            left = max(0.0, self._stop - memory) / (self._stop - self._slow)
            self._most = max(1, min(int(self._wanted * left), 2 * before))
        elif before < PLENTY:
            self._most = 2 * before if 2 * before < self._wanted else PLENTY
        if (before < PLENTY) != (self._most < PLENTY):
            self._pause(Pause.MEMORY, self._most < PLENTY)
        if self._most > before:
            self._release()

    def _relieve(self) -> None:
        now = monotonic()
        if now >= self._relieved_at + RELIEF_PERIOD:
            relieve()
            self._relieved_at = now
