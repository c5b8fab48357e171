"""When each of many things is to be looked at: a heap that finds the next one without asking the others.

Rules:
- A key has one time. A new time replaces it; the old entry stays in the heap and is dropped when it comes up.
- A key stays until it gets another time or is discarded. So what fails while it is looked at is next again.
- Entries that no longer count are at most as many as those that do, and SPARE.
"""

from __future__ import annotations

import heapq

SPARE = 64


class WakeTimes:
    """Times by key, in the seconds of any clock."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._times)

    def set(self, key: str, at: float) -> None:
        """Look at a key at this time, and not before."""
        self._times[key] = at
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self._times) + SPARE:
            self._heap = [(one, name) for name, one in self._times.items()]
            heapq.heapify(self._heap)

    def discard(self, key: str) -> None:
        """Never look at a key; does nothing where it has no time."""
        self._times.pop(key, None)

    def first(self) -> tuple[float, str] | None:
        """The earliest time and its key; None where there is none."""
        while self._heap:
            at, key = self._heap[0]
            if self._times.get(key) == at:
                return at, key
            heapq.heappop(self._heap)
        return None

    def in_order(self) -> list[str]:
        """Every key, the earliest first."""
        return sorted(self._times, key=lambda key: (self._times[key], key))
