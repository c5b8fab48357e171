"""The result that a measured child process prints: one line of JSON on stdout."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Mapping
from time import perf_counter

import msgspec


class ChildResult(msgspec.Struct, frozen=True):
    """`count` pages (or rows) took `seconds`, and `cpu` seconds of this process; neither includes starting up.

    `statuses` is the count of each, where pages were fetched; `urls` are the pages, where the child found them itself.
    """

    count: int
    seconds: float
    cpu: float
    statuses: Mapping[str, int] = {}
    urls: tuple[str, ...] = ()


def print_result(work: Callable[[], Mapping[str, int] | None], count: int) -> None:
    """Do the work on `count` pages, which may return counts of statuses, and print the result."""
    cpu_before, began = cpu(), perf_counter()
    statuses = work() or {}
    result = ChildResult(count, perf_counter() - began, cpu() - cpu_before, statuses)
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")


def cpu() -> float:
    """Seconds of CPU that this process has used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
