"""Supervision of worker processes, for every engine that has some: when one is stuck, why one died, when to give up.

Rules:
- A process that owes an answer for too long is stopped or stuck, and is killed. It is then replaced like any that died.
- Processes that die one after another without progress in between would go on dying: the crawl ends.
- Where a process died of want of memory is read from its exit status, or from the kernel's count of OOM kills.
"""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterable
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Protocol

from crawler.errors import WorkersLost
from crawler.system.memory import oom_kills
from variants.worker_process import NO_MEMORY_EXIT, kill

FOREVER = float("inf")
EXIT_PATIENCE = 0.2
CRASHES = (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT)


class SupervisedProcess(Protocol):
    """A worker process as its parent sees it."""

    @property
    def process(self) -> BaseProcess | None:
        """The process; None where it is not known (any more)."""

    @property
    def answer_due(self) -> float:
        """By when it must have sent something (seconds, monotonic clock); FOREVER where it owes nothing."""


def kill_overdue(processes: Iterable[SupervisedProcess]) -> float:
    """Kill the processes whose answer is overdue. Returns when the next answer is due, FOREVER where none is."""
    now, next_due = monotonic(), FOREVER
    for one in processes:
        if one.answer_due > now:
            next_due = min(next_due, one.answer_due)
        elif one.process is not None:
            kill(one.process)
    return next_due


class DeathCount:
    """Counts the deaths of worker processes since the last progress. `most` ends the crawl; `simpler_mode` is the mode
    to advise, in which the cause is seen."""

    def __init__(self, most: int, simpler_mode: str) -> None:
        self._most = most
        self._simpler_mode = simpler_mode
        self._deaths = 0
        self._oom_kills = oom_kills()

    def progressed(self) -> None:
        """A worker brought a result: start counting anew."""
        self._deaths = 0

    def died(self) -> None:
        """Count a death. Raises WorkersLost where it is one too many."""
        self._deaths += 1
        if self._deaths >= self._most:
            raise WorkersLost(
                f"{self._most} worker processes died one after another without progress; "
                f"try --mode {self._simpler_mode}, which shows why (out of memory? killed from outside?)"
            )

    def died_of_memory(self, process: BaseProcess | None) -> bool:
        """Whether a process that has ended says so by its exit status, or got SIGKILL and the kernel's count of OOM
        kills has risen. Where the address space is bounded (ulimit -v) a crash counts too: libraries use memory that
        malloc refused them."""
        kills, self._oom_kills = self._oom_kills, oom_kills()
        if process is None:
            return False
        process.join(EXIT_PATIENCE)
        code = process.exitcode
        if code in CRASHES:
            return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
        return code == NO_MEMORY_EXIT or (code == -signal.SIGKILL and self._oom_kills > kills)
