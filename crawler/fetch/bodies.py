"""Accounts for the body bytes that the fetches of one process hold, and limits them.

Rules:
- A body is counted as it comes, COPIES times: its blocks are joined, decoded and copied before the store has it.
- Beyond `most` bytes a fetch fails with FetchError(RESOURCE_EXHAUSTED) and is retried when fewer are in flight. The
  fetch that has held a body for longest fails only beyond `alone`, so one always makes progress.
- One instance per process, like the DNS cache (crawler/fetch/net/dns_cache.py): the limit is one of the process.
"""

from __future__ import annotations

import threading

from crawler.core.reasons import NO_MEMORY, FetchErrorKind
from crawler.fetch.base import FetchError

COPIES = 2
UNBOUNDED = 1 << 62


class HeldBody:
    """The bytes that one fetch holds."""

    __slots__ = ("_bodies", "_size")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._size = 0

    def grow(self, size: int) -> None:
        """Add `size` bytes of a body. Raises FetchError(RESOURCE_EXHAUSTED)."""
        self._bodies.add(self, COPIES * size)
        self._size += COPIES * size

    def release(self) -> None:
        """Subtract the body: the store has it, or the fetch failed."""
        if self._size:
            self._bodies.remove(self, self._size)
            self._size = 0


class Bodies:
    """The bytes that all fetches hold. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[HeldBody, None] = {}
        self._size = 0
        self.bound()

    def bound(self, most: int = UNBOUNDED, alone: int = UNBOUNDED) -> None:
        """Set the limits, in bytes."""
        self._most, self._alone = most, max(most, alone)

    def take(self) -> HeldBody:
        """The account of a new fetch."""
        return HeldBody(self)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    def add(self, held: HeldBody, size: int) -> None:
        """Count `size` bytes for a fetch. Raises FetchError(RESOURCE_EXHAUSTED) beyond the limits."""
        with self._lock:
            total = self._size + size
            if total > self._most:
                first = next(iter(self._held), held)
                if held is not first or total > self._alone:
                    raise FetchError(FetchErrorKind.RESOURCE_EXHAUSTED, f"{NO_MEMORY} for bodies in flight")
            self._held[held] = None
            self._size = total

    def remove(self, held: HeldBody, size: int) -> None:
        """Subtract all that a fetch held."""
        with self._lock:
            del self._held[held]
            self._size -= size


BODIES = Bodies()
