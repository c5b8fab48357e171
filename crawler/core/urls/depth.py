"""The depth limit, and which URLs beyond it were mentioned before.

A URL beyond the limit is not admitted. It goes to the frontier (`Actions.beyond`), which stores it once, with the
smallest depth it was found at. So it can be counted, and admitted by a later run with a larger limit.

Rules:
- The depth of a URL is that of the path by which it was found first. A page that was first found by a longer path keeps
  that depth, and its links are one deeper. With several workers the order of answers decides, so two runs may differ
  where several paths of different lengths lead to a page.
- The marks only save work: they remember some of the latest mentions, a URL together with its depth. The frontier
  decides which mention counts.
- Shards: see crawler/core/shards/sharded.py. There the `hosts` with URLs beyond the limit are remembered, MOST_HOSTS of
  them.
"""

from __future__ import annotations

from collections.abc import Iterable

from crawler.core.messages import Link
from crawler.core.urls.seen import Seen

MOST_HOSTS = 100_000


class DepthLimit:
    """How far from the seeds a crawl goes; None: any distance."""

    def __init__(self, most: int | None, seed: int) -> None:
        self._most = most
        self._mentioned = Seen(seed, 0)
        self._hosts: set[str] = set()

    def exceeded(self, depth: int) -> bool:
        """Whether a URL at this depth is beyond the limit."""
        return self._most is not None and depth > self._most

    def is_news(self, link: Link) -> bool:
        """Whether the frontier must store this mention of a link beyond the limit. Remembers it."""
        mention = f"{link.depth} {link.url}"
        if mention in self._mentioned:
            return False
        self._mentioned.add(mention)
        return True

    def remember(self, hosts: Iterable[str]) -> None:
        """Remember that these hosts have URLs beyond the limit in the frontier of this shard."""
        for host in hosts:
            if len(self._hosts) < MOST_HOSTS:
                self._hosts.add(host)

    def may_have(self, host: str) -> bool:
        """Whether URLs of this host may be beyond the limit in the frontier of this shard."""
        return host in self._hosts or len(self._hosts) >= MOST_HOSTS
