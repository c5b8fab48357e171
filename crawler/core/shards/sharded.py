"""A Crawl that is one of several shards: who asks each host, what the shards tell each other, and when all is over.

Rules:
- A host has one owner, which alone asks it and lets it rest. A host that turns out to need no rest is *spread* before
  its first page is asked for: from then on each URL has a home of its own, and every shard asks the host for its share
  of `per_host`. The first hold, 429, rest after failures or Crawl-delay ends that permanently: the host is *gathered*.
  What is owed goes back to the owner, whose share stays what it was: the others may still have fetches in flight.
- Verdicts (spread, gathered, joined) travel on the same line as links, in an order that never lets a link overtake the
  verdict it was sent by. Until a shard has received a verdict, its links go to the owner, which already has it.
- What other shards have noted of a host is noted here, too, whether the host is in memory or not.
- A host of which the owner remembers URLs beyond the depth limit is not spread.
- Limits that are set while the crawl runs may need one asker for each host (`LiveLimits.reclaim`): then all are
  gathered, and none is spread any more. Every shard is told before any link that another sends because of it. The owner
  tells of those that it had spread, because another shard may hear of the spreading later than of the limits.
- No shard ends alone: `output.quiet` reports that nothing more will happen here by itself, and that all it has sent was
  acknowledged. The end comes as a `Stop`.
- Pages are asked for out of grants; a shard that has nothing to spend one on returns it. Pages of a domain that several
  shards ask are granted, too.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from crawler.core.bounds import Bounds
from crawler.core.hosts.host import Host
from crawler.core.hosts.host_state import State
from crawler.core.hosts.leases import Lease
from crawler.core.messages import (
    Acknowledged,
    Actions,
    DomainQuotaGranted,
    Fetched,
    FetchResult,
    HostNote,
    HostNoteShared,
    HostPlacement,
    LinksReceived,
    LiveLimits,
    QuotaGranted,
    Refill,
    Resumed,
    SeedsSettled,
    ShardEvent,
    ShardRestarted,
)
from crawler.core.rules import Rules
from crawler.core.shards.link_routing import LinkRouting
from crawler.core.shards.shard import Shard
from crawler.core.traps.combined_limits import CombinedLimits
from crawler.core.urls.scope import Scope

LOW = 8
"""Pages left of a grant when more are requested, so that there is work until the answer comes."""


class ShardedCrawl(LinkRouting):
    """Decides one shard of several."""

    def __init__(self, rules: Rules, scope: Scope, seed: int, shard: Shard, bounds: Bounds | None = None) -> None:
        super().__init__(rules, scope, seed, shard, bounds)
        self._others_owe_seeds = True
        self._reclaims = False
        self._starved: dict[str, Host] = {}  # hosts that wait only for a grant
        self._shared = CombinedLimits(rules, shard.count)
        if self._left is not None:
            self._left = 0  # until something is granted

    # ---- events of other shards --------------------------------------------------------------------------------------

    def _apply_event(self, event: ShardEvent, now: float) -> None:
        match event:
            case LinksReceived():
                self._received(event, now)
            case Acknowledged():
                self._acknowledged(event.seqs)
            case QuotaGranted():
                self._spend(-event.pages)
                starved, self._starved = self._starved, {}
                for host in starved.values():
                    self._list(host, now)
            case DomainQuotaGranted():
                self._shared.grant(event)
            case HostNoteShared():
                self._learn(event.note, now)
            case ShardRestarted():
                self._send_again(event.shard)
            case SeedsSettled():
                self._others_owe_seeds = False
                if not self._awaits_seeds:
                    self._deferred.clear()
            case _:
                assert_never(event)

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

    def _offered(self, event: Refill, now: float) -> None:
        super()._offered(event, now)
        host = self._hosts.get(event.host)
        if host is not None and host.reach is not HostPlacement.OWNER:
            self._settle_in(host, now)

    def _learn_of(self, host: Host, note: HostNote, now: float) -> None:
        host.recall(note, now, now)
        self._widen(host, self._reach(host.name))
        if note.reach is HostPlacement.RECLAIMED:
            host.demand(max(host.demanded, note.delay))
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
        self._left = left  # grants cover only URLs that were never asked for

    @property
    def _awaits_seeds(self) -> bool:
        return super()._awaits_seeds or self._others_owe_seeds

    def _join(self, name: str, now: float) -> None:
        super()._join(name, now)
        self._output.notes.append(HostNote(name, joined=True))

    def _limit(self, limits: LiveLimits, now: float) -> None:
        if limits.concurrency is not None:
            limits = replace(limits, concurrency=max(1, self._shard.share(limits.concurrency)))
        super()._limit(limits, now)
        if limits.reclaim and not self._reclaims:
            self._reclaims = True
            self._reclaim_all(now)

    def _reclaim_all(self, now: float) -> None:
        if self._unasked is HostPlacement.SHARED:
            self._unasked = HostPlacement.RECLAIMED
        for name in [name for name, reach in self._reaches.items() if reach is HostPlacement.SHARED]:
            self._reaches[name] = HostPlacement.RECLAIMED
            host = self._hosts.get(name)
            note = HostNote(name, reach=HostPlacement.RECLAIMED)
            if host is not None:
                self._widen(host, HostPlacement.RECLAIMED)
                note = host.note(now)
                if not host.unknown:
                    self._settle_in(host, now)
            self._actions.notes.append(note)
            if self._shard.owner(name) == self._shard.index:
                self._output.notes.append(note)

    # ---- hosts are spread and gathered -------------------------------------------------------------------------------

    def _robots_read(self, host: Host, text: str, now: float) -> None:
        may_spread = not self._reclaims and self._shard.may_spread(host.delay, self._rules.shared_by)
        first = host.reach is HostPlacement.OWNER and not host.asked
        spread = may_spread and first and not self._depth.may_have(host.name)
        if spread:
            self._widen(host)
        super()._robots_read(host, text, now)
        if spread:
            self._output.notes.append(host.note(now, robots=text))
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
            self._output.notes.append(host.note(now))

    def _list(self, host: Host, now: float) -> None:
        super()._list(host, now)
        if host.queue and not self._fresh:
            self._starved[host.name] = host

    # ---- the end -----------------------------------------------------------------------------------------------------

    def _concluded(self, now: float) -> Actions:
        actions, output = super()._concluded(now), self._output
        actions.output = output
        output.domains = self._shared.drain_wanted()
        output.seeds_settled = not self._seeds_owed
        output.size = self._size
        if self._stop_at is not None:
            return actions
        output.quiet = actions.ending is not None and not self._unacknowledged
        actions.ending = None
        if self._left is not None:
            if output.quiet:
                output.returned, self._left = max(0, self._left), min(0, self._left)
            waiting = self._owed - self._retrying - len(self._leases)
            output.wants = self._left < LOW and waiting > 0 and not self._out_of_bytes
        return actions


def _is_429(event: FetchResult) -> bool:
    return isinstance(event, Fetched) and event.status == 429
