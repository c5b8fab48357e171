"""CPU time in units of a reference loop, so that a bound on effort means the same on every machine, loaded or not.

One unit is the CPU time of a loop of 100,000 empty iterations in this interpreter (some milliseconds), measured once.
Bounds in tests are many times the usual cost of the work: they catch growth that is not linear; they are no benchmarks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

T = TypeVar("T")


def effort(work: Callable[[], T]) -> tuple[T, float]:
    """Returns the result of the work and its CPU time in units."""
    began = time.process_time()
    result = work()
    return result, (time.process_time() - began) / _unit()


def stays_below(bound: float, work: Callable[[], object], tries: int = 3) -> bool:
    """Whether the work takes fewer units at one of so many tries: load on the machine makes some more expensive."""
    return any(effort(work)[1] < bound for _ in range(tries))


@cache
def _unit() -> float:
    return min(_turns() for _ in range(5))


def _turns() -> float:
    began = time.process_time()
    for _ in range(100_000):
        pass
    return time.process_time() - began
