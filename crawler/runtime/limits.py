"""Limits a run by the memory it takes and by the free disk space."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from crawler.core.reasons import Pause
from crawler.metrics.process_tree import tree_memory
from crawler.runtime.arrivals import ArrivalSchedule
from crawler.runtime.disk_limit import DiskLimiter
from crawler.runtime.job import Job
from crawler.runtime.memory_limit import MemoryLimiter

AT_START = 48 * 1024 * 1024
"""The most bytes that a crawler process takes before it crawls. The rest belongs to the embedding program."""


def install_limiters(job: Job) -> Callable[[int], None]:
    """Install all limiters on a job. Call the result with the memory (bytes) of the run a few times a second."""
    settings, recorder, shares = job.settings, job.recorder, job.shares
    outside = max(0, tree_memory() - AT_START)
    memory = MemoryLimiter(shares.limit, shares.in_flight, job.wake, recorder.pause, outside)
    recorder.hold_at_most(shares.bodies)
    recorder.limit_in_flight(lambda: memory.most)
    if shares.lowered:
        recorder.pause(Pause.MEMORY, True)
        recorder.pause(Pause.MEMORY, False)
    if settings.arrivals:
        schedule = ArrivalSchedule(settings.arrivals)
        recorder.observe(schedule.see)
        recorder.limit_by_time(lambda: schedule.room(monotonic()), schedule.next_at)
    if job.folder is None:
        return memory.on_sample
    disk = DiskLimiter(job.folder, settings.disk_reserve, settings.disk_wait, job.wake, recorder.pause)
    recorder.add_limiter(disk.room)

    def look(weight: int) -> None:
        memory.on_sample(weight)
        with suppress(OSError):  # the next write there raises a better error
            disk.look()

    return look
