"""The links of one host that are in memory: those never asked for, and those that wait for another attempt.

Rules:
- `queue` holds links never asked for, `retry_queue` those that wait for another attempt: page budgets stop only the
  first.
- `queue` is a window: links up to the id `after` are in it, settled or in flight; those beyond it up to `last`, or
  `more`, are in the frontier only. `requested` of them have been asked for; see crawler/core/hosts/hosts.py.
- `queue` is in order of doubt: links under none, then under little, then the others (see
  crawler/core/traps/detector.py). `ahead` counts those under none, and those under none or little.
- `carrying` counts links of the window that are to be carried over, not asked for. They are not in `queue`.
"""

from __future__ import annotations

import heapq
from collections import deque

from crawler.core.messages import Link


class LinkQueue:
    """Links in the order in which they may be asked for. `retry_queue` is a heap of (time, number, link)."""

    __slots__ = ("_count", "after", "ahead", "carrying", "last", "more", "queue", "requested", "retry_queue")

    def __init__(self) -> None:
        self.queue: deque[Link] = deque()
        self.retry_queue: list[tuple[float, int, Link]] = []
        self.after = self.last = self.requested = self.carrying = 0
        self.more = False
        self.ahead = [0, 0]
        self._count = 0

    @property
    def has_more(self) -> bool:
        """Whether there are links that are in the frontier only."""
        return self.more or self.last > self.after

    @property
    def window(self) -> int:
        """Number of links in the window that wait for their first attempt, or to be carried over."""
        return len(self.queue) + self.carrying

    def put_back(self, link: Link, at: float) -> None:
        """Keep a link for another try, not before `at`."""
        self._count += 1
        heapq.heappush(self.retry_queue, (at, self._count, link))

    def take(self, now: float, new_first: bool = False) -> tuple[Link, bool]:
        """The next link of a ready host, and whether it was taken before. A link that was taken before goes first;
        `new_first`: after those that were not."""
        if self.retry_queue and self.retry_queue[0][0] <= now and not (new_first and self.queue):
            return heapq.heappop(self.retry_queue)[2], True
        link = self.queue.popleft()
        for doubt in range(link.doubt, 2):
            self.ahead[doubt] -= self.ahead[doubt] > 0
        return link, False

    def enqueue(self, link: Link) -> None:
        """Queue a link for its first attempt, before those that are under more doubt."""
        if link.doubt > 1:
            self.queue.append(link)
            return
        self.queue.insert(self.ahead[link.doubt], link)
        for doubt in range(link.doubt, 2):
            self.ahead[doubt] = min(self.ahead[doubt] + 1, len(self.queue))

    def pull(self, link: Link) -> bool:
        """Remove a link from those that wait for another attempt. Returns whether it was there."""
        left = [one for one in self.retry_queue if one[2].id != link.id]
        found = len(left) < len(self.retry_queue)
        if found:
            heapq.heapify(left)
            self.retry_queue = left
        return found
