"""Whose turn it is: the hosts that may be asked now, and those that rest.

A host that has something to ask for is listed once: in a round robin of those that are ready (one slow or huge host
never starves the others), or in a heap by the time it may be asked again. A host that is listed earlier than before
leaves a remnant in the heap, which nobody minds (`scheduled_at` tells).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

from crawler.core.hosts.host import NEVER, Host

READY = -1.0


class HostScheduler:
    """True while somebody is ready."""

    def __init__(self) -> None:
        self._ready: deque[Host] = deque()
        self._resting: list[tuple[float, int, Host]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._ready)

    @property
    def next_at(self) -> float | None:
        """When the first of those that rest may be asked."""
        return self._resting[0][0] if self._resting else None

    def schedule(self, host: Host, at: float, now: float) -> None:
        """It may be asked from then on; nothing changes where it is listed for an earlier time."""
        if at >= host.scheduled_at:
            return
        if at <= now:
            host.scheduled_at = READY
            self._ready.append(host)
        else:
            host.scheduled_at = at
            self._count += 1
            heapq.heappush(self._resting, (at, self._count, host))

    def pop_due(self, now: float) -> Iterator[Host]:
        """Take out those whose rest is over."""
        while self._resting and self._resting[0][0] <= now:
            at, _, host = heapq.heappop(self._resting)
            if host.scheduled_at == at:
                host.scheduled_at = NEVER
                yield host

    def pop_ready(self) -> Host:
        """Take out the one that has been ready for longest; there must be one."""
        host = self._ready.popleft()
        host.scheduled_at = NEVER
        return host
