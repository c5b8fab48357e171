"""The result that a measured child process prints: one line of JSON on stdout."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Mapping
from time import perf_counter

import msgspec

from crawler.compare.raw import RawAnswers


class ChildResult(msgspec.Struct, frozen=True):
    """`count` pages (or rows) took `seconds`, and `cpu` seconds of this process; neither includes starting up.

    Where pages were fetched: `statuses` is the count of each, `size` the bytes of their bodies, `connections` those
    begun, where they were counted. `urls` are the pages, where the child found them itself.
    """

    count: int
    seconds: float
    cpu: float
    statuses: Mapping[str, int] = {}
    urls: tuple[str, ...] = ()
    size: int = 0
    connections: int = 0


def print_result(work: Callable[[], RawAnswers | None], count: int, connections: Callable[[], int] = lambda: 0) -> None:
    """Do the work on `count` pages, which may return what it received, and print the result."""
    cpu_before, began = cpu(), perf_counter()
    received = work() or RawAnswers()
    seconds, spent = perf_counter() - began, cpu() - cpu_before
    result = ChildResult(count, seconds, spent, received.statuses, size=received.size, connections=connections())
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")


def cpu() -> float:
    """Seconds of CPU that this process has used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
