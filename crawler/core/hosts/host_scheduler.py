"""Schedules hosts: those that may be asked now, and those that rest.

A host that has something to ask for is listed once: in a round robin of those that are ready (so one slow or huge host
never starves the others), or in a heap by the time it may be asked again. A host that is rescheduled earlier leaves a
stale entry in the heap, which `pop_due` skips because `scheduled_at` differs.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

from crawler.core.hosts.host import NEVER, Host

READY = -1.0


class HostScheduler:
    """The schedule of hosts; true while a host is ready."""

    def __init__(self) -> None:
        self._ready: deque[Host] = deque()
        self._resting: list[tuple[float, int, Host]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._ready)

    @property
    def next_at(self) -> float | None:
        """When the first of those that rest may be asked; None where none rests."""
        return self._resting[0][0] if self._resting else None

    def schedule(self, host: Host, at: float, now: float) -> None:
        """Let a host be asked from `at` on; nothing changes where it is already listed for an earlier time."""
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
        """Take out the hosts whose rest is over."""
        while self._resting and self._resting[0][0] <= now:
            at, _, host = heapq.heappop(self._resting)
            if host.scheduled_at == at:
                host.scheduled_at = NEVER
                yield host

    def pop_ready(self) -> Host:
        """Take out the host that has been ready for longest; there must be one."""
        host = self._ready.popleft()
        host.scheduled_at = NEVER
        return host
