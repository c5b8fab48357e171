"""The bytes of bodies that the fetches of one process hold, and how many they may.

Rules:
- A body is counted as it comes, COPIES times: its blocks are joined, decoded and copied before it is with the store.
- Beyond `most` a fetch is refused more (FetchError STARVED): it is asked again when fewer are in flight. The fetch that
  has held a body for longest is refused only beyond `alone`, so one always gets on.
- One instance for a process, like the names (crawler/fetch/net/dns_cache.py): the limit is one of the process.
"""

from __future__ import annotations

import threading

from crawler.core.messages import NO_MEMORY, FetchErrorKind
from crawler.fetch.base import FetchError

COPIES = 2
UNBOUNDED = 1 << 62


class HeldBody:
    """What one fetch holds."""

    __slots__ = ("_bodies", "_size")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._size = 0

    def grow(self, size: int) -> None:
        """So many bytes more of a body. Raises FetchError."""
        self._bodies.add(self, COPIES * size)
        self._size += COPIES * size

    def release(self) -> None:
        """The body is with the store, or given up."""
        if self._size:
            self._bodies.remove(self, self._size)
            self._size = 0


class Bodies:
    """All that is held. From any thread."""

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
        """Raises FetchError."""
        with self._lock:
            total = self._size + size
            if total > self._most:
                first = next(iter(self._held), held)
                if held is not first or total > self._alone:
                    raise FetchError(FetchErrorKind.RESOURCE_EXHAUSTED, f"{NO_MEMORY} for bodies in flight")
            self._held[held] = None
            self._size = total

    def remove(self, held: HeldBody, size: int) -> None:
        """Forget what was held."""
        with self._lock:
            del self._held[held]
            self._size -= size


BODIES = Bodies()
