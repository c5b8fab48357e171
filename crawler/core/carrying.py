"""Pages that a re-crawl carries over: known, not chosen (core/revisit/choice.py), and not asked for.

Rules:
- Such a page counts as it was: its stored body, its status, its links. So a page that only it links to is still known.
- It counts only where it is found, as any other page: by a link, or by a sitemap. What nothing leads to any more is
  asked for once more, as in any re-crawl.
- Its host is not asked. So neither the delay of the host nor its robots.txt, nor its trouble, nor the page budget
  matters; it has no attempts. A worker reads the stored page, because bodies never come here.
- Where the stored page cannot be read the URL is asked for like a new one.
- Links to carry are in the window of their host like others, so that there are never too many in memory.
"""

from __future__ import annotations

from collections import deque

from msgspec.structs import replace

from crawler.core.admission import Admission
from crawler.core.bounds import Bounds
from crawler.core.fetch_builder import carried_order
from crawler.core.hosts.host import Host
from crawler.core.hosts.leases import Lease
from crawler.core.messages import Failed, Fetched, FetchResult, Link
from crawler.core.reasons import FetchErrorKind, Reason
from crawler.core.revisit.carried import CarriedUrls
from crawler.core.rules import Rules
from crawler.core.urls.scope import Scope
from crawler.core.urls.sitemap_steps import is_sitemap


class Carrying(Admission):
    """Carries pages over. `FetchResults` extends it by what the results of fetches do."""

    def __init__(self, rules: Rules, scope: Scope, seed: int, bounds: Bounds | None = None) -> None:
        super().__init__(rules, scope, seed, bounds)
        self._carried = CarriedUrls(b"", seed)
        self._carrying: deque[tuple[Host, Link]] = deque()

    def _carry_over(self, marks: bytes) -> None:
        self._carried = CarriedUrls(marks, self._seed)

    def _owe(self, host: Host, link: Link, now: float) -> None:
        if not self._is_carried(link):
            super()._owe(host, link, now)
        elif not self._hosts.spills(host, link):
            self._hosts.carry(host)
            self._carrying.append((host, link))

    def _is_carried(self, link: Link) -> bool:
        """Whether a link leads to a known page that was not chosen. Seeds, what they are redirected to, and sitemaps
        are always asked for."""
        return link.depth > 0 and not link.attempts and link.url in self._carried and not is_sitemap(link.via)

    def _carry(self, room: int, now: float) -> int:
        """Order up to `room` stored pages; returns the room that is left."""
        while room > 0 and self._carrying:
            host, link = self._carrying.popleft()
            host.ledger.count(link)
            self._actions.fetches.append(carried_order(self._leases.give(host, link, now, carried=True), link))
            room -= 1
        return room

    def _carried_landed(self, lease: Lease, event: FetchResult, now: float) -> None:
        host, link = lease.host, lease.link
        assert link is not None
        if isinstance(event, Failed) and self._may_be_read(link, event):
            self._carrying.append((host, replace(link, lost=link.lost + 1)))
            return
        self._hosts.carried(host)
        if isinstance(event, Fetched):
            self._settle(replace(link, status=event.status), Reason.OK, event)
            self._read(host, link, event, now)
        elif host.gone is not None:
            self._settle(link, host.gone, detail=host.gone_because)
        else:
            self._hosts.queue(host, link)
        self._list(host, now)

    def _may_be_read(self, link: Link, event: Failed) -> bool:
        """Whether a stored page that could not be read may be read the next time."""
        passing = event.kind in (FetchErrorKind.LEASE_EXPIRED, FetchErrorKind.RESOURCE_EXHAUSTED)
        return passing and link.lost + 1 < self._rules.lost_limit
