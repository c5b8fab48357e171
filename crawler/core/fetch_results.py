"""What the result of a fetch does to its link and to its host: the link settles, waits for another attempt, or waits
until its host is back.

Rules:
- A redirect is a new URL through every check; its source settles at once.
- Where the network is away a failure is nobody's fault: the link goes back and has spent nothing, see
  crawler/core/network/fetch_window.py.
- Whether a failure spends an attempt is decided by the health of the host, see crawler/core/hosts/health.py.
- A lease that expires counts as lost and spends no attempt; a URL lost too often is poison.
- robots.txt is no link: its result changes the host, and names its sitemaps where they are wanted.
- A host may have `max_sitemaps`, counted while it is in memory: so many are read, and so many may its robots.txt name.
"""

from __future__ import annotations

from msgspec.structs import replace

from crawler.core.carrying import Carrying
from crawler.core.hosts.health import Fate, failure_of
from crawler.core.hosts.host import Host
from crawler.core.hosts.host_state import State, Trigger
from crawler.core.hosts.leases import Lease
from crawler.core.hosts.retry import backoff, gap, is_transient, reason_of
from crawler.core.messages import (
    Failed,
    Fetched,
    FetchResult,
    Link,
)
from crawler.core.network.outage import Fault
from crawler.core.page.robots import sitemap_lines
from crawler.core.reasons import FetchErrorKind, ParseSkipped, Reason
from crawler.core.settling import describe
from crawler.core.urls.redirects import REDIRECTS
from crawler.core.urls.sitemap_steps import DEPTH, named_by, via_robots


class FetchResults(Carrying):
    """Applies the results of fetches. `Crawl` extends it by the decisions which fetches go out."""

    def _land(self, lease: Lease, event: FetchResult, now: float) -> None:
        if lease.carried:
            self._carried_landed(lease, event, now)
            return
        host, link = lease.host, lease.link
        host.in_flight -= 1
        host.rest(event, now)
        self._shared.land(host, event, link is not None, now)
        verdict = self._window.judge(host, event, len(self._leases), now, link)
        if link is None:
            self._robots_landed(host, event, verdict, now)
        elif isinstance(event, Failed):
            self._trouble_landed(host, link, event, verdict, now)
        else:
            self._response_landed(host, link, event, now)
        self._list(host, now)

    def _response_landed(self, host: Host, link: Link, event: Fetched, now: float) -> None:
        self._jar.take(event.cookies, now)
        self._obey_retry_after(host, event, now)
        if is_transient(event):
            self._page_failed(host, link, event, now)
            return
        self._answered(host, now)
        host.health.settled(link.id)
        if event.sitemap is not None:
            event = self._sitemap_landed(host, event)
        asked, link = link, replace(link, attempts=link.attempts + 1, status=event.status, lost=0)
        reason = self._redirected(link, event.location, now) if event.status in REDIRECTS else reason_of(event)
        self._settle(link, reason, event)
        self._read(host, asked, event, now)

    def _sitemap_landed(self, host: Host, event: Fetched) -> Fetched:
        """Leave unread what a host has beyond `max_sitemaps`."""
        host.sitemaps += 1
        within = host.sitemaps <= self._rules.max_sitemaps
        return event if within else replace(event, links=(), unread=ParseSkipped.TOO_MANY)

    def _answered(self, host: Host, now: float, refused: bool = False) -> None:
        if host.answered(refused):
            self._actions.notes.append(host.note(now))

    def _trouble_landed(self, host: Host, link: Link, event: Failed, verdict: Fault, now: float) -> None:
        if verdict is not Fault.HOST_FAULT:
            self._owe_again(host, link, self._window.retry_at(host, link, event, verdict, now), now)
            return
        if event.kind is FetchErrorKind.LEASE_EXPIRED:
            link = replace(link, lost=link.lost + 1)
            if link.lost >= self._rules.lost_limit:
                self._settle(link, Reason.POISON, event)
            else:
                self._owe_again(host, link, now, now)
            return
        if event.kind is FetchErrorKind.DNS_PENDING:
            self._owe_again(host, link, now, now)
            return
        self._page_failed(host, link, event, now)

    def _page_failed(self, host: Host, link: Link, event: FetchResult, now: float) -> None:
        """A page failed, or got an answer that another attempt may improve."""
        status = event.status if isinstance(event, Fetched) else 0
        spent = replace(link, attempts=link.attempts + 1, status=status, lost=0)
        if host.gone is not None:
            self._settle(spent, host.gone, detail=host.gone_because)
            return
        fate = Fate.SPENDS if spent.attempts < self._rules.attempts else Fate.ENDS
        failure = failure_of(event)
        if failure is not None:
            fate = host.failed(link, event, failure, now, self._seed)
        elif isinstance(event, Fetched):  # 408, 429
            self._answered(host, now, refused=status == 429)
        if host.is_hopeless(now):
            self._give_up(host, Reason.HOST_DOWN, f"the last failure: {describe(event)}", now)
            fate = Fate.ENDS
        elif host.state is State.DOWN:
            self._actions.notes.append(host.note(now))
        if fate is Fate.ENDS or not is_transient(event):
            host.health.settled(link.id)
            self._settle(spent, reason_of(event), event)
            if isinstance(event, Fetched):
                self._read(host, spent, event, now)
        elif fate is Fate.WAITS:
            rest = gap(link.url, 1, self._rules.breaker_rest, self._rules.backoff_cap, self._seed)
            self._put_back(host, replace(link, lost=0), max(now + rest, host.not_before))
        else:
            self._actions.retries.append(spent)
            cap = min(self._rules.backoff_cap, self._rules.host_patience or self._rules.backoff_cap)
            if not host.health.heard and self._rules.host_patience:
                cap = min(cap, self._rules.robots_backoff)  # it is given up soon
            after = backoff(link.url, spent.attempts, self._rules.backoff, cap, self._seed)
            earliest = host.health.last_attempt_at(link.id, now, event.seconds)
            if spent.attempts < self._rules.attempts - 1:
                earliest = now
            self._put_back(host, spent, max(now + after, earliest))

    # ---- hosts hold, rest and are given up ---------------------------------------------------------------------------

    def _obey_retry_after(self, host: Host, event: Fetched, now: float) -> None:
        """RFC 9110 10.2.3: a 429 or 503 may name a time to wait. A 429 without one is obeyed, too."""
        if event.status not in (429, 503) or (event.retry_after is None and event.status == 503):
            return
        if event.retry_after is None:
            wait = host.health.rest_after_429(host.name, self._seed)
        else:
            wait = min(event.retry_after, self._rules.retry_after_cap)
        host.hold(now + wait)
        self._actions.notes.append(host.note(now))
        self._held(host, now)

    def _robots_landed(self, host: Host, event: FetchResult, verdict: Fault, now: float) -> None:
        if host.gone is not None:
            return
        if verdict is Fault.NETWORK_FAULT:
            host.hold(self._window.again_at(event, now))
            host.move(Trigger.ASK_AGAIN)
            return
        if isinstance(event, Fetched) and event.retry_after is not None:
            self._obey_retry_after(host, event, now)
            if host.gone is not None:
                return
        text = host.hear_robots(event, now, self._seed)
        if text is not None:
            self._robots_read(host, text, now)
        elif (reason := host.lost_hope(event, now)) is not None:
            self._give_up(host, reason, f"robots.txt: {describe(event)}", now)
        elif host.health.since is not None:
            self._actions.notes.append(host.note(now))

    def _robots_read(self, host: Host, text: str, now: float) -> None:
        self._actions.notes.append(host.note(now, robots=text))
        if self._rules.sitemaps and self._scope.admits_host(host.name):
            found, left = named_by(host.name, sitemap_lines(text), self._rules)
            self._actions.leave_all(tuple(left.items()))
            for url in found:
                self._admit(url, DEPTH, via_robots(host.name), now)
