"""A Crawl that is one of several shards: which links it keeps, which it passes on, and what it sends to the others.

Rules:
- A host has one owner, which alone asks it and lets it rest. A host that turns out to need no rest is *spread* before
  its first page is asked for: from then on each URL has a home of its own, and every shard asks the host for its share
  of `per_host`. The first hold, 429, rest after failures or Crawl-delay ends that permanently: the host is *gathered*.
  What is owed goes back to the owner, whose share stays what it was: the others may still have fetches in flight.
- The home of a link decides whether it is new. For a host that was gathered that is still the home of the URL, which
  has its marks; it passes what is new on to the owner. So `_sent` (found here, belongs elsewhere) and `_seen` (admitted
  here) are two sets: a link that was sent may come back to be asked for.
- Verdicts (spread, gathered, joined) travel on the same line as links, in an order that never lets a link overtake the
  verdict it was sent by. Until a shard has received a verdict, its links go to the owner, which already has it.
- A link leaves in `mail.foreign` and keeps us from being quiet until it is acknowledged; what arrives twice is known.
- No shard ends alone: `mail.quiet` reports that nothing more will happen here by itself. The end comes as a `Stop`.
- Hosts may be forgotten here as anywhere. So which shards ask for their URLs is kept apart (`_reaches`), and what other
  shards have noted of them is noted here, too. `_away` are links that were passed on and may come back.
- A URL beyond the depth limit is remembered by the shard that would ask for it, where it becomes known when it is
  admitted. So a host of which the owner remembers some is not spread. For a host that was gathered the home of a URL
  remembers it until it is mentioned again; then it is `handed` to the owner.
- Pages are asked for out of grants; a shard that has nothing to spend one on returns it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heapify
from typing import assert_never

from msgspec.structs import replace

from crawler.core.bounds import Bounds
from crawler.core.crawl import Crawl
from crawler.core.hosts.host import Host
from crawler.core.hosts.host_state import State
from crawler.core.hosts.leases import Lease
from crawler.core.messages import (
    Acknowledged,
    Actions,
    Event,
    Fetched,
    FetchResult,
    HostNote,
    HostNoteShared,
    HostPlacement,
    Link,
    LinksReceived,
    OutboxLink,
    QuotaGranted,
    Refill,
    Resumed,
    SeedsSettled,
    ShardEvent,
    ShardOutput,
    ShardRestarted,
)
from crawler.core.rules import Rules
from crawler.core.shards.shard import Shard
from crawler.core.traps.combined_limits import CombinedLimits
from crawler.core.urls.canonical import host_of
from crawler.core.urls.depth import DepthLimit
from crawler.core.urls.scope import Scope
from crawler.core.urls.seen import Seen

LOW = 8
"""Pages left of a grant when more are requested, so that there is work until the answer comes."""


class ShardedCrawl(Crawl):
    """Decides one shard of several."""

    def __init__(self, rules: Rules, scope: Scope, seed: int, shard: Shard, bounds: Bounds | None = None) -> None:
        bounds = bounds or Bounds()
        super().__init__(rules, scope, seed, bounds)
        self._shard = shard
        self._sent = Seen(seed, bounds.marks)
        self._sent_beyond = DepthLimit(rules.max_depth, seed)
        self._away: set[str] = set()
        self._unacknowledged: dict[int, OutboxLink] = {}
        self._last_sent = 0
        self._others_owe_seeds = True
        self._always_spread = not rules.robots and shard.may_spread(rules.delay, rules.shared_by)
        self._starved: dict[str, Host] = {}  # hosts that wait only for a grant
        self._reaches: dict[str, HostPlacement] = {}  # of hosts not placed as OWNER, in memory or not
        self._hosts.on_added = self._introduce
        self._passed_on = ""
        self._shared = CombinedLimits(rules, shard.count)
        self._mail = ShardOutput()
        if self._left is not None:
            self._left = 0  # until something is granted

    @property
    def owed(self) -> int:
        """URLs that were admitted here and have not settled, and links that have not reached their shard."""
        return super().owed + len(self._unacknowledged)

    def step(self, events: Iterable[Event], *, room: int, now: float) -> Actions:
        """`Crawl.step`; the Actions carry `mail`."""
        self._mail = ShardOutput()
        return super().step(events, room=room, now=now)

    # ---- where a link belongs ----------------------------------------------------------------------------------------

    def _introduce(self, host: Host) -> None:
        reach = self._reach(host.name)
        if reach is not HostPlacement.OWNER:
            self._widen(host, reach)

    def _reach(self, name: str) -> HostPlacement:
        return self._reaches.get(name, HostPlacement.SHARED if self._always_spread else HostPlacement.OWNER)

    def _widen(self, host: Host, reach: HostPlacement = HostPlacement.SHARED) -> None:
        host.reach = self._reaches[host.name] = reach
        host.per_host = self._shard.share(self._rules.per_host)
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
            self._mail.handed.append(link.url)
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

    def _offered(self, event: Refill, now: float) -> None:
        super()._offered(event, now)
        host = self._hosts.get(event.host)
        if host is not None and host.reach is not HostPlacement.OWNER:
            self._settle_in(host, now)

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
        self._mail.transferred.append(link.id)
        self._send(link, self._asker(host.name, link.url), admitted=True)

    def _send(self, link: Link, to: int, admitted: bool = False, beyond: bool = False) -> None:
        self._last_sent += 1
        self._await_receipt(OutboxLink(self._last_sent, to, link, admitted, beyond))

    def _await_receipt(self, foreign: OutboxLink) -> None:
        self._mail.foreign.append(foreign)
        self._unacknowledged[foreign.seq] = foreign
        self._seeds_owed += foreign.link.depth == 0

    # ---- events of other shards --------------------------------------------------------------------------------------

    def _apply_event(self, event: ShardEvent, now: float) -> None:
        match event:
            case LinksReceived():
                for foreign in event.links:
                    self._mail.received.append((event.sender, foreign.seq))
                    self._receive(foreign, now)
            case Acknowledged():
                self._mail.acknowledged += event.seqs
                for foreign in filter(None, (self._unacknowledged.pop(seq, None) for seq in event.seqs)):
                    self._seeds_owed -= foreign.link.depth == 0
            case QuotaGranted():
                self._spend(-event.pages)
                starved, self._starved = self._starved, {}
                for host in starved.values():
                    self._list(host, now)
            case HostNoteShared():
                self._learn(event.note, now)
            case ShardRestarted():
                self._mail.foreign += [one for one in self._unacknowledged.values() if one.to == event.shard]
            case SeedsSettled():
                self._others_owe_seeds = False
                if not self._awaits_seeds:
                    self._deferred.clear()
            case _:
                assert_never(event)

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

    def _learn(self, note: HostNote, now: float) -> None:
        if note.joined:
            self._take_in(note.host, now)
        if note.reach is HostPlacement.OWNER:
            return
        self._reaches[note.host] = max(note.reach, self._reach(note.host))
        self._actions.notes.append(note)
        host = self._hosts.get_or_add(note.host, now)
        if host is not None:
            self._learn_of(host, note, now)

    def _learn_of(self, host: Host, note: HostNote, now: float) -> None:
        host.recall(note, now, now)
        self._widen(host, self._reach(host.name))
        if note.reach is HostPlacement.RECLAIMED:
            host.delay = max(host.delay, note.delay)
            host.hold(note.rest_until)
        if not host.unknown:  # otherwise the frontier would offer the links passed on now once more
            self._settle_in(host, now)

    def _settle_in(self, host: Host, now: float) -> None:
        """Give up the host if it is held for too long, and pass on links that are not ours to ask for."""
        if host.reach is HostPlacement.RECLAIMED and host.gone is None:
            self._held(host, now)
        self._let_go(host)
        self._list(host, now)

    def _resume(self, event: Resumed, now: float) -> None:
        left = self._left
        super()._resume(event, now)
        self._depth.remember(event.beyond)
        self._left = left  # grants cover only URLs that were never asked for
        for foreign in event.outbox:
            self._last_sent = max(self._last_sent, foreign.seq)
            if not self._depth.exceeded(foreign.link.depth):  # otherwise a shorter path to it would be ignored
                self._sent.add(foreign.link.url)
            self._await_receipt(foreign)

    @property
    def _awaits_seeds(self) -> bool:
        return super()._awaits_seeds or self._others_owe_seeds

    def _join(self, name: str, now: float) -> None:
        super()._join(name, now)
        self._mail.notes.append(HostNote(name, joined=True))

    # ---- hosts are spread and gathered -------------------------------------------------------------------------------

    def _robots_read(self, host: Host, text: str, now: float) -> None:
        may_spread = self._shard.may_spread(host.delay, self._rules.shared_by)
        first = host.reach is HostPlacement.OWNER and not host.asked
        spread = may_spread and first and not self._depth.may_have(host.name)
        if spread:
            self._widen(host)
        super()._robots_read(host, text, now)
        if spread:
            self._mail.notes.append(host.note(now, robots=text))
            self._let_go(host)

    def _land(self, lease: Lease, event: FetchResult, now: float) -> None:
        host = lease.host
        rested_until = host.not_before
        super()._land(lease, event, now)
        if host.reach is HostPlacement.OWNER:
            return
        slowed = host.not_before > max(now, rested_until)
        troubled = slowed or _is_429(event) or host.state is not State.OPEN or host.ledger.suspicious
        if host.reach is HostPlacement.SHARED and troubled:
            self._widen(host, HostPlacement.RECLAIMED)
            slowed = True
            self._actions.notes.append(host.note(now))
            self._let_go(host)
            self._list(host, now)
        if slowed:
            self._mail.notes.append(host.note(now))

    def _list(self, host: Host, now: float) -> None:
        super()._list(host, now)
        if host.queue and not self._fresh:
            self._starved[host.name] = host

    # ---- the end -----------------------------------------------------------------------------------------------------

    def _concluded(self, now: float) -> Actions:
        actions, mail = super()._concluded(now), self._mail
        actions.mail = mail
        mail.seeds_settled = not self._seeds_owed
        mail.size = self._size
        if self._stop_at is not None:
            return actions
        mail.quiet = actions.ending is not None and not self._unacknowledged
        actions.ending = None
        if self._left is not None:
            if mail.quiet:
                mail.returned, self._left = max(0, self._left), min(0, self._left)
            waiting = self._owed - self._retrying - len(self._leases)
            mail.wants = self._left < LOW and waiting > 0 and not self._out_of_bytes
        return actions


def _is_429(event: FetchResult) -> bool:
    return isinstance(event, Fetched) and event.status == 429
