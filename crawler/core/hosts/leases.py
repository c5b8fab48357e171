"""Leases: which fetches workers hold, and until when.

All leases last equally long and a dict keeps their order, so the first is always the next to expire.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from crawler.core.hosts.host import Host
from crawler.core.messages import Link


class Lease(msgspec.Struct):
    """One fetch that a worker holds; `link` is None for a robots.txt. `carried`: its host is not asked."""

    host: Host
    link: Link | None
    expires_at: float
    carried: bool = False


class Leases:
    """The open leases, each for so many `seconds`. A number is never given twice."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = 0
        self._out: dict[int, Lease] = {}

    def __len__(self) -> int:
        return len(self._out)

    def give(self, host: Host, link: Link | None, now: float, carried: bool = False) -> int:
        """Open a lease; returns its number."""
        self._last += 1
        self._out[self._last] = Lease(host, link, now + self._seconds, carried)
        return self._last

    def end(self, number: int) -> Lease | None:
        """Close a lease and return it; None where it has expired or was never given."""
        return self._out.pop(number, None)

    def expired(self, now: float) -> Iterator[tuple[int, Lease]]:
        """Close the leases that have expired."""
        while self._out and self.next_at <= now:
            number = next(iter(self._out))
            yield number, self._out.pop(number)

    @property
    def next_at(self) -> float:
        """When the next one expires; there must be one."""
        return next(iter(self._out.values())).expires_at
