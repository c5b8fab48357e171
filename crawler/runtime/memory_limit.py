"""Keeps a run below its memory limit by reducing the number of fetches in flight.

Rules:
- The memory of the process tree is sampled a few times a second (crawler/metrics/process_tree.py). Up to SLOW_AT of the
  limit there is no bound. From there to STOP_AT fewer fetches may be in flight, in proportion to what is left; beyond
  it one. So the crawl never deadlocks: a single body is written and freed.
- The bound rises slowly: below SLOW_AT it doubles with each sample, until it is no bound.
- Above SLOW_AT this process returns its free memory to the system, every RELIEF_PERIOD seconds.
- It is reported: a pause for `memory` begins when the bound is below what was asked for, and ends when there is none.
- A program that embeds the crawler may have been large before: `outside` is what it took beyond a crawler's needs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep

from crawler.core.bounds import PLENTY
from crawler.core.reasons import Pause
from crawler.metrics.process_tree import resident_memory
from crawler.system.memory_shortage import relieve
from crawler.system.threads import start_thread

SLOW_AT = 0.85
STOP_AT = 0.95
RELIEF_PERIOD = 2.0


def keep_lean(limit: int) -> None:
    """For a process whose fetches another process limits: return its free memory to the system near `limit` (bytes). On
    a thread that runs as long as the process."""

    def work() -> None:
        while True:
            sleep(RELIEF_PERIOD)
            with suppress(OSError, MemoryError):
                if resident_memory() > limit * SLOW_AT:
                    relieve()

    start_thread(work, "lean")


class MemoryLimiter:
    """Bounds the fetches in flight. `limit` and `outside` in bytes; `in_flight` is what the engine would have. The
    sampling thread calls `release` when the bound rises, `pause` when it begins and ends."""

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
        """Update the bound: the process tree takes `memory` bytes now."""
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
