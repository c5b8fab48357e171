"""Links out of scope that wait for a seed to be redirected to their host.

Which hosts join the scope must not depend on which answer comes first. So while a seed is owed, links that leave the
scope are kept, MOST_STRAYS of them.
"""

from __future__ import annotations

from crawler.core.reasons import NotFollowed

MOST_STRAYS = 100_000


class DeferredLinks:
    """URLs with their depth, and how they are counted meanwhile, by host."""

    def __init__(self) -> None:
        self._links: dict[str, list[tuple[str, int, NotFollowed]]] = {}
        self._count = 0

    def keep(self, host: str, url: str, depth: int, kind: NotFollowed) -> None:
        """Keep a link, unless there are too many."""
        if self._count < MOST_STRAYS:
            self._count += 1
            self._links.setdefault(host, []).append((url, depth, kind))

    def pop(self, host: str) -> list[tuple[str, int, NotFollowed]]:
        """Remove and return the links of a host that has joined the scope."""
        return self._links.pop(host, [])

    def clear(self) -> None:
        """Drop all links: no host can join any more."""
        self._links.clear()
