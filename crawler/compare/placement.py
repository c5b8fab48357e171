"""On which cores a web and the crawlers run.

Rules, and why:
- With more than two cores the server has one of its own. Otherwise it would take from an engine just what the engine
  leaves, and a thrifty engine would be measured on a faster web than a wasteful one.
- On one or two cores they share: a crawler on a single core could not show what several processes are good for. The
  report says so.
- Children inherit the affinity of this process. So it keeps off the server's core itself, and so does everything it
  starts; `cores()` counts what is left for a crawler.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

SHARED = 2
"""Up to so many cores the server has none of its own."""
_reserved = set[int]()  # as long as `server_apart` lasts; affinity is state of the whole process, and so is this


def usable() -> set[int]:
    """The cores that this process may use; empty on a system without affinity."""
    return set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()


def server_core(there: Collection[int]) -> int | None:
    """The core for the server alone, None where it shares those of the crawlers."""
    return max(there) if len(there) > SHARED else None


def placement() -> str:
    """Who runs where, in words; the first number is that of the cores of a crawler. Outside of `server_apart`."""
    there = usable()
    count = len(there) or os.cpu_count() or 1
    if server_core(there) is None:
        return f"{count} for a crawler, shared with the server"
    return f"{count - 1} for a crawler, one more for the server alone"


@contextmanager
def server_apart() -> Iterator[None]:
    """Context manager: keep this process, and what it starts, off the core of the server."""
    there = usable()
    core = server_core(there)
    if core is None:
        yield
        return
    os.sched_setaffinity(0, there - {core})
    _reserved.add(core)
    try:
        yield
    finally:
        _reserved.clear()
        os.sched_setaffinity(0, there)


def place_server(pid: int) -> None:
    """Move a server to its core, if it has one. Raises OSError."""
    if _reserved:
        os.sched_setaffinity(pid, _reserved)
