"""The URLs of one crawl between their admission and their end: the state that every decision about fetches uses.

Rules:
- A URL is admitted once. A redirect is a new URL through every check, admitted when its source settles.
- What is owed is in the queue of its host or in the frontier, see crawler/core/hosts/hosts.py. A URL of which it is not
  known whether it is new is owed until the frontier has decided.
- Links out of scope wait while a seed may still be redirected to their host.
- A sitemap that robots.txt or an index names is admitted whatever its host, see crawler/core/urls/sitemap_steps.py. The
  URLs that a sitemap lists are links of depth 1, or of its own depth where that is larger.
- A URL beyond the depth limit is stored and counted, not admitted, see crawler/core/urls/depth.py.
"""

from __future__ import annotations

from msgspec.structs import replace

from crawler.core.bounds import Bounds
from crawler.core.deferred_links import DeferredLinks
from crawler.core.fetch_builder import FetchBuilder
from crawler.core.hosts.cookies import Jar
from crawler.core.hosts.host import Host
from crawler.core.hosts.host_scheduler import HostScheduler
from crawler.core.hosts.hosts import Hosts
from crawler.core.hosts.leases import Leases
from crawler.core.hosts.retry import reason_of
from crawler.core.messages import Actions, DedupResult, Fetched, FetchResult, HostNote, Link, Refill, Resumed
from crawler.core.network.fetch_window import FetchWindow
from crawler.core.reasons import NotFollowed, Reason
from crawler.core.rules import Rules
from crawler.core.settling import settled_from
from crawler.core.traps.combined_limits import CombinedLimits
from crawler.core.urls.canonical import host_of
from crawler.core.urls.depth import DepthLimit
from crawler.core.urls.redirects import after_redirect
from crawler.core.urls.scope import Scope
from crawler.core.urls.seen import Seen
from crawler.core.urls.sitemap_steps import DEPTH, is_named, is_sitemap, via_sitemap


class Admission:
    """Tracks the URLs of one shard of a crawl. `Carrying` extends it by the pages that are not asked for."""

    def __init__(self, rules: Rules, scope: Scope, seed: int, bounds: Bounds | None = None) -> None:
        bounds = bounds or Bounds()
        self._rules = rules
        self._scope = scope
        self._seed = seed
        self._seen = Seen(seed, bounds.marks)
        self._hosts = Hosts(rules, bounds)
        self._scheduler = HostScheduler()
        self._shared = CombinedLimits(rules)
        self._leases = Leases(rules.lease)
        self._window = FetchWindow(rules.outage_wait, min(rules.outage_wait, rules.host_patience))
        self._window.ended = self._hosts.restart_absences
        self._jar = Jar()
        self._orders = FetchBuilder(self._jar, rules)
        self._depth = DepthLimit(rules.max_depth, seed)
        self._next_id = 1
        self._owed = 0
        self._retrying = 0
        self._left = rules.max_pages
        self._size = 0
        self._seeds_owed = 0
        self._deferred = DeferredLinks()
        self._refused = 0
        self._passed_on = ""  # the last URL that went to another shard
        self._stop_at: float | None = None
        self._actions = Actions()

    @property
    def owed(self) -> int:
        """URLs that were admitted and have not settled."""
        return self._owed

    def _admit(self, url: str, depth: int, via: tuple[str, ...], now: float, doubt: int = 0) -> bool:
        """Admit a URL that was found, if all checks pass. Returns whether it is new here."""
        if url in self._seen:
            return False
        name = host_of(url)
        if not self._scope.admits_host(name) and not is_named(via):
            self._actions.leave(kind := self._scope.left_out(name))
            if self._awaits_seeds:
                self._deferred.keep(name, url, depth, kind)
            return False
        judge = self._scope.url_filter
        if judge is not None and (depth or via) and not is_sitemap(via) and not judge(url):
            self._actions.leave(NotFollowed.EXCLUDED)
            return False
        link = Link(self._next_id, url, depth, via, status=-doubt)
        if not self._is_ours(name, link):
            return url == self._passed_on
        if self._depth.exceeded(depth):
            self._leave_beyond(name, link)
            return False
        self._next_id += 1
        self._enter(name, link, now)
        self._seen.add(url)
        return True

    def _enter(self, name: str, link: Link, now: float) -> None:
        """Own a link from now on, if it is new."""
        self._owed += 1
        self._seeds_owed += link.depth == 0
        if self._seen.complete:
            self._actions.queued.append(link)
            self._place(name, link, now)
        else:
            self._actions.undetermined.append(link)

    def _is_ours(self, name: str, link: Link) -> bool:
        """Whether a new link of this host is ours to admit; a crawl of several shards passes on the others."""
        return True

    def _leave_beyond(self, name: str, link: Link) -> None:
        """Store a link of ours that is beyond the depth limit."""
        if self._depth.is_news(link):
            self._actions.beyond.append(link)

    def _place(self, name: str, link: Link, now: float) -> None:
        host = self._hosts.get_or_add(name, now)
        if host is not None:
            self._owe(host, link, now)

    def _owe(self, host: Host, link: Link, now: float) -> None:
        """Queue a link that is owed."""
        tried = link.attempts > 0
        if link.doubt:
            host.ledger.has_doubts = True
        if not tried and self._hosts.spills(host, link):
            return
        if host.gone is not None:
            self._settle(link, host.gone, detail=host.gone_because)
        elif tried:
            self._put_back(host, link, now)
        else:
            self._hosts.queue(host, link)
        self._list(host, now)

    def _judged(self, event: DedupResult, now: float) -> None:
        self._owed -= event.known
        self._seeds_owed -= event.known_seeds
        for link in event.new:
            self._place(host_of(link.url), link, now)

    def _offered(self, event: Refill, now: float) -> None:
        host = self._hosts.offered(event, now)
        if event.note is not None and host.gone is None:
            self._held(host, now)  # an earlier run may have given it up for its hold; now it is asked again
        here = {link.id for _, _, link in host.retry_queue}
        for link in event.links:
            if link.id not in here:
                doubt = max(link.doubt, host.ledger.doubt)
                self._owe(host, replace(link, status=-doubt) if doubt and not link.attempts else link, now)
        self._hosts.feed(host)
        self._list(host, now)

    @property
    def _awaits_seeds(self) -> bool:
        """Whether a seed may yet be redirected to a host that is out of scope now."""
        return self._seeds_owed > 0

    def _resume(self, event: Resumed, now: float) -> None:
        self._seen.load(event.marks)
        self._next_id = max(self._next_id, event.next_id)
        self._spend(event.fetched)
        self._size = event.size
        self._owed = event.owed
        self._seeds_owed = event.seeds_owed
        self._hosts.resume(now)
        self._shared.recall(event.budgets)
        if event.fetched:
            self._window.trust()
        self._jar.load(event.cookies if self._rules.cookies else ())
        for name in event.joined:
            self._scope.join(name)
        for name in event.retried:
            self._hosts.take_in(name)

    def _redirected(self, link: Link, target: str, now: float) -> Reason:
        reason, target = after_redirect(link, target, self._rules)
        if reason is Reason.REDIRECT and not is_sitemap(link.via) and not self._scope.admits_path(target):
            self._actions.leave(NotFollowed.EXCLUDED)
        elif reason is Reason.REDIRECT:
            name = host_of(target)
            if link.depth == 0 and not self._scope.admits_host(name):
                self._join(name, now)
            self._admit(target, link.depth, (*link.via, link.url), now)
        return reason

    def _join(self, name: str, now: float) -> None:
        """Add the host that a seed redirects to: it is what the user meant (http://x.org -> https://www.x.org)."""
        self._actions.notes.append(HostNote(name, joined=True))
        self._take_in(name, now)

    def _take_in(self, name: str, now: float) -> None:
        self._scope.join(name)
        for url, depth, kind in self._deferred.pop(name):
            self._actions.leave(kind, -1)
            self._admit(url, depth, (), now)

    def _list(self, host: Host, now: float) -> None:
        at = host.ready_at(self._fresh)
        if at is None:
            self._hosts.retire(host)
        else:
            self._scheduler.schedule(host, at, now)

    def _owe_again(self, host: Host, link: Link, at: float, now: float) -> None:
        if host.gone is not None:
            self._settle(link, host.gone, detail=host.gone_because)
        else:
            self._put_back(host, link, at)

    def _put_back(self, host: Host, link: Link, at: float) -> None:
        host.put_back(link, at)
        self._retrying += 1

    def _held(self, host: Host, now: float) -> None:
        """Give up a host that asked to wait for too long."""
        wait = host.not_before - now
        if wait > self._rules.max_hold:
            self._give_up(host, Reason.HELD, f"asked to wait {wait:.0f} s", now)

    def _give_up(self, host: Host, reason: Reason, because: str, now: float) -> None:
        """Settle everything that a host owes. Pages that failed while it was away end by their own failure."""
        self._retrying -= len(host.retry_queue)
        queued = len(host.queue)
        responses: list[tuple[Link, Fetched]] = []
        for link in host.give_up(reason, because):
            failure = host.health.tried.get(link.id)
            if failure is None or reason is Reason.HELD:
                self._settle(link, reason, detail=because)
            else:
                status = failure.status if isinstance(failure, Fetched) else 0
                spent = replace(link, attempts=max(1, link.attempts), status=status)
                self._settle(spent, reason_of(failure), failure)
                if isinstance(failure, Fetched):
                    responses.append((spent, failure))
        self._hosts.taken(host, queued)
        for link, response in responses:  # a body that the network cut may still have links
            self._read(host, link, response, now)

    def _read(self, host: Host, link: Link, event: Fetched, now: float) -> None:
        """Take the links of a page that settles."""
        self._actions.leave_all(event.not_followed)
        landed = host.ledger.land(link, event.fingerprint)
        unseen, known = self._seen.partition(event.links)
        new: list[str] = []
        depth, via = link.depth + 1, ()  # type: int, tuple[str, ...]
        if event.sitemap is not None:
            depth, via = max(DEPTH, link.depth), via_sitemap(link, event.sitemap)
        for url in unseen:
            (new if self._admit(url, depth, via, now, landed) else known).append(url)
        self._actions.budgets += self._shared.learn(host, link, event, landed, new, known)

    def _settle(self, link: Link, reason: Reason, event: FetchResult | None = None, detail: str = "") -> None:
        self._owed -= 1
        self._seeds_owed -= link.depth == 0
        if not self._awaits_seeds:
            self._deferred.clear()
        if isinstance(event, Fetched):
            self._size += event.size
        self._actions.settled.append(settled_from(link, reason, event, detail))

    @property
    def _fresh(self) -> bool:
        """Whether URLs that were never asked for may still be asked for."""
        return self._left is None or self._left > 0

    def _spend(self, pages: int) -> None:
        if self._left is not None:
            self._left -= pages
