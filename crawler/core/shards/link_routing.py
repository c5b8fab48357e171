"""Which links a shard keeps, which it passes on, and which it has from the others.

Rules:
- Each URL has a home and an asker. The home decides whether the URL is new, the asker fetches it. Both are the owner of
  its host, or where the host is spread the shard of the URL itself. For a host that was gathered the home is still that
  of the URL, which has its marks; it passes what is new on to the owner. So `_sent` (found here, belongs elsewhere) and
  `_seen` (admitted here) are two sets: a link that was sent may come back to be asked for.
- A link leaves in `output.foreign` and is owed here until it is acknowledged; what arrives twice is known.
- Hosts may be forgotten here as anywhere. So which shards ask for their URLs is kept apart (`_reaches`). `_away` are
  links that were passed on and may come back.
- A URL beyond the depth limit is remembered by the shard that would ask for it, where it becomes known when it is
  admitted. For a host that was gathered the home of a URL remembers it until it is mentioned again; then it is `handed`
  to the owner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heapify

from msgspec.structs import replace

from crawler.core.bounds import Bounds
from crawler.core.crawl import Crawl
from crawler.core.hosts.host import Host
from crawler.core.messages import (
    Actions,
    Event,
    HostNote,
    HostPlacement,
    Link,
    LinksReceived,
    OutboxLink,
    Resumed,
    ShardOutput,
)
from crawler.core.rules import Rules
from crawler.core.shards.shard import Shard
from crawler.core.urls.canonical import host_of
from crawler.core.urls.depth import DepthLimit
from crawler.core.urls.scope import Scope
from crawler.core.urls.seen import Seen


class LinkRouting(Crawl):
    """The links between one shard and the others. `ShardedCrawl` extends it by what shards tell each other of hosts."""

    def __init__(self, rules: Rules, scope: Scope, seed: int, shard: Shard, bounds: Bounds | None = None) -> None:
        bounds = bounds or Bounds()
        super().__init__(rules, scope, seed, bounds)
        self._shard = shard
        self._sent = Seen(seed, bounds.marks)
        self._sent_beyond = DepthLimit(rules.max_depth, seed)
        self._away: set[str] = set()
        self._unacknowledged: dict[int, OutboxLink] = {}
        self._last_sent = 0
        always_spread = not rules.robots and shard.may_spread(rules.delay, rules.shared_by)
        self._unasked = HostPlacement.SHARED if always_spread else HostPlacement.OWNER
        self._reaches: dict[str, HostPlacement] = {}  # of hosts not placed as `_unasked`, in memory or not
        self._hosts.on_added = self._introduce
        self._output = ShardOutput()

    @property
    def owed(self) -> int:
        """URLs that were admitted here and have not settled, and links that have not reached their shard."""
        return super().owed + len(self._unacknowledged)

    def step(self, events: Iterable[Event], *, room: int, now: float) -> Actions:
        """`Crawl.step`; the Actions carry `output`."""
        self._output = ShardOutput()
        return super().step(events, room=room, now=now)

    # ---- where a link belongs ----------------------------------------------------------------------------------------

    def _introduce(self, host: Host) -> None:
        reach = self._reach(host.name)
        if reach is HostPlacement.RECLAIMED and host.name not in self._reaches:
            self._actions.notes.append(HostNote(host.name, reach=reach))
        if reach is not HostPlacement.OWNER:
            self._widen(host, reach)

    def _reach(self, name: str) -> HostPlacement:
        return self._reaches.get(name, self._unasked)

    def _widen(self, host: Host, reach: HostPlacement = HostPlacement.SHARED) -> None:
        host.reach = self._reaches[host.name] = reach
        host.allow(self._shard.share(self._rules.per_host))
        host.ledger.share(self._shard.count if reach is HostPlacement.SHARED else 1)

    def _home(self, name: str, url: str) -> int:
        """The shard that decides whether a URL of this host is new."""
        return self._shard.owner(name if self._reach(name) is HostPlacement.OWNER else url)

    def _asker(self, name: str, url: str) -> int:
        """The shard that asks for a URL of this host."""
        return self._shard.owner(url if self._reach(name) is HostPlacement.SHARED else name)

    def _is_ours(self, name: str, link: Link) -> bool:
        home = self._home(name, link.url)
        if home == self._shard.index:
            return True
        from_seeds = link.depth == 0 and not link.via  # every shard gets all seeds
        if from_seeds or link.url in self._sent:
            return False
        if not self._depth.exceeded(link.depth):
            self._sent.add(link.url)
            self._send(link, home)
            self._passed_on = link.url
        elif self._sent_beyond.is_news(link):
            self._send(link, home)
        return False

    def _leave_beyond(self, name: str, link: Link) -> None:
        asker = self._asker(name, link.url)
        if asker == self._shard.index:
            super()._leave_beyond(name, link)
            self._depth.remember((name,))
        elif self._depth.is_news(link):
            self._output.handed.append(link.url)
            self._send(link, asker, beyond=True)

    def _owe(self, host: Host, link: Link, now: float) -> None:
        if host.unknown or self._asker(host.name, link.url) == self._shard.index:
            super()._owe(host, link, now)
        elif link.attempts or not self._hosts.spills(host, link):
            self._pass_on(host, link)
            self._list(host, now)

    def _put_back(self, host: Host, link: Link, at: float) -> None:
        if host.unknown or self._asker(host.name, link.url) == self._shard.index:
            super()._put_back(host, link, at)
        else:
            self._pass_on(host, link)

    def _let_go(self, host: Host) -> None:
        """Pass on what is no longer ours to ask for. Links that are only in the frontier follow when it offers them."""
        me = self._shard.index
        waiting = [link for link in host.queue if self._asker(host.name, link.url) != me]
        if waiting:
            host.queue = deque(link for link in host.queue if self._asker(host.name, link.url) == me)
        later = [one for one in host.retry_queue if self._asker(host.name, one[2].url) != me]
        if later:
            host.retry_queue = [one for one in host.retry_queue if self._asker(host.name, one[2].url) == me]
            heapify(host.retry_queue)
            self._retrying -= len(later)
        for link in (*waiting, *(link for _, _, link in later)):
            self._pass_on(host, link)
        self._hosts.taken(host, len(waiting))

    def _pass_on(self, host: Host, link: Link) -> None:
        """Send an admitted link to the shard that asks for it. It may come back when the host is gathered."""
        self._owed -= 1
        self._seeds_owed -= link.depth == 0
        self._away.add(link.url)
        self._output.transferred.append(link.id)
        self._send(link, self._asker(host.name, link.url), admitted=True)

    def _send(self, link: Link, to: int, admitted: bool = False, beyond: bool = False) -> None:
        self._last_sent += 1
        self._await_receipt(OutboxLink(self._last_sent, to, link, admitted, beyond))

    def _await_receipt(self, foreign: OutboxLink) -> None:
        self._output.foreign.append(foreign)
        self._unacknowledged[foreign.seq] = foreign
        self._seeds_owed += foreign.link.depth == 0

    # ---- what comes from other shards --------------------------------------------------------------------------------

    def _received(self, event: LinksReceived, now: float) -> None:
        for foreign in event.links:
            self._output.received.append((event.sender, foreign.seq))
            self._receive(foreign, now)

    def _receive(self, foreign: OutboxLink, now: float) -> None:
        link = foreign.link
        if foreign.beyond and self._depth.exceeded(link.depth):
            if link.url not in self._seen:
                super()._leave_beyond(host_of(link.url), link)
            return
        if not (foreign.admitted or foreign.beyond):
            self._admit(link.url, link.depth, link.via, now, link.doubt)
            return
        name, is_new = host_of(link.url), link.url not in self._seen
        comes_back = link.url in self._away and self._asker(name, link.url) == self._shard.index
        if is_new or comes_back:
            self._away.discard(link.url)
            mine = replace(link, id=self._next_id)
            self._next_id += 1
            self._enter(name, mine, now)
            if is_new:
                self._seen.add(link.url)

    def _acknowledged(self, seqs: tuple[int, ...]) -> None:
        self._output.acknowledged += seqs
        for foreign in filter(None, (self._unacknowledged.pop(seq, None) for seq in seqs)):
            self._seeds_owed -= foreign.link.depth == 0

    def _send_again(self, shard: int) -> None:
        """Send what a shard has not acknowledged once more: it has restarted."""
        self._output.foreign += [one for one in self._unacknowledged.values() if one.to == shard]

    def _resume(self, event: Resumed, now: float) -> None:
        super()._resume(event, now)
        self._depth.remember(event.beyond)
        for foreign in event.outbox:
            self._last_sent = max(self._last_sent, foreign.seq)
            if not self._depth.exceeded(foreign.link.depth):  # otherwise a shorter path to it would be ignored
                self._sent.add(foreign.link.url)
            self._await_receipt(foreign)
