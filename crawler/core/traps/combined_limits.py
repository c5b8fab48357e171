"""The limits of a crawl as `Crawl` sees them: of a host, of its registrable domain, and the rest of a server's address.

See crawler/core/traps/detector.py, crawler/core/traps/domain_limits.py and crawler/core/hosts/addresses.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from crawler.core.hosts.addresses import Addresses
from crawler.core.hosts.host import Host
from crawler.core.hosts.host_state import State
from crawler.core.messages import Budget, DomainQuotaGranted, Fetched, FetchResult, HostPlacement, Link
from crawler.core.rules import Rules
from crawler.core.traps.domain_limits import DomainLimits
from crawler.core.traps.groups import Landed
from crawler.core.urls.canonical import host_of
from crawler.core.urls.domains import domain_of
from crawler.core.urls.patterns import Rejection


class CombinedLimits:
    """For one crawl, or one of several `shards`."""

    def __init__(self, rules: Rules, shards: int = 1) -> None:
        self._robots = rules.robots
        self._is_wide = rules.scope in ("domain", "any")
        self._domains = DomainLimits(rules, shards)
        self._addresses = Addresses(shards) if rules.shares_addresses else None

    def refuses(self, host: Host) -> Rejection | None:
        """Why the first queued link of a ready host must not be asked for, nor robots.txt on its behalf; None where it
        may."""
        if not host.queue:
            return None
        return self._domains.refuses(host.name, host.queue[0], not self._is_new(host), _is_alone(host))

    def makes_wait(self, host: Host, now: float) -> bool:
        """Hold a ready host for as long as others of its domain or address require. Returns whether it must wait."""
        pause = self._domains.pause(host.name, not self._is_new(host), now)
        if host.queue:
            pause = max(pause, self._domains.pause_for_grant(host.name, _is_alone(host)))
        if pause:
            host.hold(now + pause)
            return True
        until = self._addresses.wait(host.name, host.delay, now) if self._addresses and host.delay else None
        if until is not None:
            host.hold(until)
        return until is not None

    def start(self, host: Host, counts: bool, now: float) -> None:
        """Count a request to a host; `counts`: for a URL that was never asked for."""
        self._domains.start(host.name, not self._is_new(host), counts, now, _is_alone(host))
        if self._addresses and host.delay:
            self._addresses.start(host.name)

    def land(self, host: Host, event: FetchResult, is_page: bool, now: float) -> None:
        """A fetch has landed; `is_page`: it was for a page, not for robots.txt."""
        fetched = event if isinstance(event, Fetched) else None
        if self._addresses:
            self._addresses.land(host.name, fetched.address if fetched else "", host.delay, now)
        if is_page and self._is_wide and (fetched is None or fetched.fingerprint is None):
            self._domains.land(host.name, None, False)

    def learn(
        self, host: Host, link: Link, event: Fetched, landed: Landed, new: list[str], known: list[str]
    ) -> Iterator[Budget]:
        """Count a page and the URLs that it named, `new` and `known`. Returns the budgets that the frontier must
        store. A sitemap is no page: that it names much and repeats itself says nothing about the site."""
        if not 200 <= event.status <= 299 or event.sitemap is not None:
            return host.ledger.due(host.name, link.url)
        inside = f"{host.name}/"
        exact, loose = event.fingerprint or (None, None)
        if loose is not None and self._is_wide:
            ours = domain_of(host.name)
            names = any(not url.startswith(inside) and domain_of(host_of(url)) == ours for url in new)
            self._domains.land(host.name, loose, names)
        new = [url for url in new if url.startswith(inside)]
        if new or host.ledger.has_doubts:  # otherwise the known URLs are not used
            known = [url for url in known if url.startswith(inside)]
            host.ledger.vouch(known, landed)
        host.ledger.named(link, exact, landed, new, known)
        return host.ledger.due(host.name, link.url)

    def _is_new(self, host: Host) -> bool:
        return not host.asked and (host.state is State.NEW or not self._robots)

    def grant(self, event: DomainQuotaGranted) -> None:
        """More pages of a domain may be asked for, or none ever."""
        self._domains.grant(event)

    def drain_wanted(self) -> list[str]:
        """The domains of which more pages are needed."""
        return self._domains.drain_wanted()

    def drain(self, at_the_end: bool) -> Iterator[Budget]:
        """The budgets of domains that the frontier must store."""
        return self._domains.drain(at_the_end)

    def recall(self, budgets: tuple[Budget, ...]) -> None:
        """Restore the budgets that an earlier run stored."""
        self._domains.recall(budgets)


def _is_alone(host: Host) -> bool:
    """Whether no other shard asks this host, or did."""
    return host.reach is HostPlacement.OWNER
