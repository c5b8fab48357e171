"""The brakes of a crawl as `Crawl` sees them: of a host, of its registered domain, and the rest of a server's address.

See traps.py, domain_brakes.py and addresses.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from crawler.core.hosts.addresses import Addresses
from crawler.core.hosts.host import Host, State
from crawler.core.messages import Budget, Fetched, FetchResult, Link
from crawler.core.rules import Rules
from crawler.core.traps.detector import Landed
from crawler.core.traps.domain_limits import DomainLimits
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
        """Why the first link in the queue of a host that is ready must not be asked for, nor anything before it."""
        return self._domains.refuses(host.name, host.queue[0], not self._is_new(host)) if host.queue else None

    def makes_wait(self, host: Host, now: float) -> bool:
        """Let a host that is ready rest for as long as others want it to. Whether it has to."""
        pause = self._domains.pause(host.name, not self._is_new(host), now)
        if pause:
            host.hold(now + pause)
            return True
        until = self._addresses.wait(host.name, host.delay, now) if self._addresses and host.delay else None
        if until is not None:
            host.hold(until)
        return until is not None

    def start(self, host: Host, counts: bool, now: float) -> None:
        """A host is asked for something, for a URL that was never asked for or for something else."""
        self._domains.start(host.name, not self._is_new(host), counts, now)
        if self._addresses and host.delay:
            self._addresses.start(host.name)

    def land(self, host: Host, event: FetchResult, is_page: bool, now: float) -> None:
        """An answer came."""
        fetched = event if isinstance(event, Fetched) else None
        if self._addresses:
            self._addresses.land(host.name, fetched.address if fetched else "", host.delay, now)
        if is_page and self._is_wide and (fetched is None or fetched.fingerprint is None):
            self._domains.land(host.name, None, False)

    def learn(
        self, host: Host, link: Link, event: Fetched, landed: Landed, new: list[str], known: list[str]
    ) -> Iterator[Budget]:
        """A page came that named URLs, new ones and others: tell whom it concerns. What the frontier must hear."""
        if not 200 <= event.status <= 299:
            return host.ledger.due(host.name, link.url)
        inside = f"{host.name}/"
        exact, loose = event.fingerprint or (None, None)
        if loose is not None and self._is_wide:
            ours = domain_of(host.name)
            names = any(not url.startswith(inside) and domain_of(host_of(url)) == ours for url in new)
            self._domains.land(host.name, loose, names)
        new = [url for url in new if url.startswith(inside)]
        if new or host.ledger.has_doubts:  # else nobody asks which others it named
            known = [url for url in known if url.startswith(inside)]
            host.ledger.vouch(known, landed)
        host.ledger.named(link, exact, landed, new, known)
        return host.ledger.due(host.name, link.url)

    def _is_new(self, host: Host) -> bool:
        return not host.asked and (host.state is State.NEW or not self._robots)

    def drain(self, at_the_end: bool) -> Iterator[Budget]:
        """What the frontier must hear of domains."""
        return self._domains.drain(at_the_end)

    def recall(self, budgets: tuple[Budget, ...]) -> None:
        """Take up what the frontier was told."""
        self._domains.recall(budgets)
