"""Decides one crawl: events and the time go in, actions come out. No I/O, no clock, no randomness.

Theory of operation. A URL is *admitted* once (`queued`), waits in the queue of its host, is *leased* to a worker as a
`Fetch`, and *settles* once. A host is scheduled (crawler/core/hosts/host_scheduler.py) while it has something to ask
for. Hosts that are full or wait for an answer are not; the next landing schedules them again. The cost of a step
depends on what happened and on what it issues, never on the number of hosts or URLs.

Rules:
- Every answer names a lease. An answer to a lease that is unknown (expired, answered before) changes nothing.
- A lease that expires counts as lost, spends no attempt, and the URL goes back to its host; a URL lost too often is
  poison.
- A page budget counts URLs asked for at least once, so it is never exceeded and retries are not cut off by it.
- A step refuses at most REFUSALS URLs, then asks to be called again at once: with a hostile robots.txt each refusal
  costs milliseconds, and events of other hosts are waiting.
- What is owed is in the queue of its host or in the frontier, see crawler/core/hosts/hosts.py. A URL of which it is not
  known whether it is new is owed until the frontier has decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crawler.core.fetch_builder import robots_order
from crawler.core.fetch_results import FetchResults
from crawler.core.hosts.host import Host
from crawler.core.hosts.host_state import State, Trigger
from crawler.core.messages import (
    Actions,
    CarriedOver,
    DedupResult,
    Discovered,
    Event,
    Failed,
    Fetched,
    HostScanResult,
    Link,
    LiveLimits,
    Refill,
    Resumed,
    ShardEvent,
    Stop,
)
from crawler.core.reasons import Ending, FetchErrorKind

REFUSALS = 32
LONGEST_WAIT = 3600.0  # every clock and every queue can wait that long


class Crawl(FetchResults):
    """Decides one shard of a crawl. `step` is the only entry point."""

    def step(self, events: Iterable[Event], *, room: int, now: float) -> Actions:
        """Apply the events and return what to do. `room` is how many more fetches the workers can take."""
        self._actions = Actions()
        self._refused = 0
        for event in events:
            self._take(event, now)
        self._expire(now)
        if self._stop_at is None and not self._out_of_bytes:
            self._issue(room, now)
        return self._concluded(now)

    def _take(self, event: Event, now: float) -> None:
        match event:
            case Fetched() | Failed():
                lease = self._leases.end(event.id)
                if lease is not None:
                    self._land(lease, event, now)
            case Discovered():
                for url in event.urls:
                    self._admit(url, event.depth, (), now)
            case CarriedOver():
                self._carry_over(event.marks)
            case Refill():
                self._offered(event, now)
            case DedupResult():
                self._judged(event, now)
            case HostScanResult():
                self._hosts.found(event, now)
            case Resumed():
                self._resume(event, now)
            case Stop():
                if self._stop_at is None:
                    self._stop_at = now + self._rules.grace
                    self._window.stop()
            case LiveLimits():
                self._limit(event, now)
            case _:
                self._apply_event(event, now)

    def _limit(self, limits: LiveLimits, now: float) -> None:
        """Obey limits that are set while the crawl runs. No host was asked in a pause, so none was absent."""
        if self._window.limit(limits):
            self._hosts.restart_absences(now)
        self._hosts.limit(limits)
        for host in self._hosts:
            self._list(host, now)  # those that were full may have room again

    def _apply_event(self, event: ShardEvent, now: float) -> None:
        """Apply what another shard sent. Raises TypeError here: a crawl of one shard has no others."""
        raise TypeError(f"a crawl of one shard cannot take {event!r}")

    # ---- fetches go out ----------------------------------------------------------------------------------------------

    def _issue(self, room: int, now: float) -> None:
        for host in self._scheduler.pop_due(now):
            self._list(host, now)
        room = room if self._window.paused else self._carry(room, now)
        room = self._window.room(room, len(self._leases), now)
        while room > 0 and self._scheduler and self._refused < REFUSALS:
            host = self._scheduler.pop_ready()
            at_or_none = host.ready_at(self._fresh)
            if at_or_none is not None and at_or_none <= now:
                room -= self._ask(host, now)
            self._list(host, now)

    def _ask(self, host: Host, now: float) -> int:
        """Issue one fetch to a host that is ready; 0 where its next URL is refused or the host has to wait."""
        host.probe()
        if host.state is State.OPEN and host.robots_until <= now:
            host.move(Trigger.STALE)
            if host.in_flight:
                return 0
        refusal = self._shared.refuses(host)
        if refusal is None and self._shared.makes_wait(host, now):
            return 0
        if host.state is State.NEW and (refusal is None or host.retry_queue):
            self._shared.start(host, False, now)
            host.move(Trigger.ASK)
            self._lease(host, None, now)
            return 1
        link, again = host.take(now, new_first=self._fresh and host.state is State.PROBING)
        if again:
            self._retrying -= 1
        else:
            self._hosts.taken(host)
        refusal = host.refuses(link, again) if refusal is None or again else refusal
        if refusal is not None:
            self._settle(link, refusal[0], detail=refusal[1])
            self._refused += host.robots.effort
            return 0
        if not again:
            self._spend(1)
            host.ledger.count(link)
        self._shared.start(host, not again, now)
        host.asked = True
        self._lease(host, link, now)
        return 1

    def _lease(self, host: Host, link: Link | None, now: float) -> None:
        number = self._leases.give(host, link, now)
        self._window.asked(now)
        host.in_flight += 1
        if link is None:
            order = robots_order(number, host)
        else:
            order = self._orders.page(number, link, now, wait_for_dns=host.waits_for_dns)
        self._actions.fetches.append(order)

    def _expire(self, now: float) -> None:
        for number, lease in self._leases.expired(now):
            self._land(lease, Failed(number, FetchErrorKind.LEASE_EXPIRED, "the lease expired"), now)
        for host, link, failure, verdict in self._window.decided(now):
            if host.pull(link):
                self._retrying -= 1
                self._trouble_landed(host, link, failure, verdict, now)
                self._list(host, now)

    # ---- the end -----------------------------------------------------------------------------------------------------

    @property
    def _out_of_bytes(self) -> bool:
        return self._rules.max_bytes is not None and self._size >= self._rules.max_bytes

    def _concluded(self, now: float) -> Actions:
        actions = self._actions
        self._hosts.drain_into(actions)
        self._window.drain_into(actions)
        actions.budgets += self._shared.drain(at_the_end=False)
        self._jar.drain_into(actions)
        actions.wake_at = min(self._wakes(now), default=None)
        if actions.wake_at is not None:
            actions.wake_at = min(actions.wake_at, now + LONGEST_WAIT)
        stopped = self._stop_at is not None and now >= self._stop_at
        if self._leases and not stopped:
            return actions
        if not self._owed:
            actions.ending = Ending.COMPLETE
        elif self._stop_at is not None:
            actions.ending = Ending.STOPPED
        elif self._out_of_bytes or not (self._fresh or self._retrying or self._carrying or self._hosts.awaited):
            actions.ending = Ending.LIMIT
        if actions.ending is not None and self._owed:
            actions.budgets += (*self._hosts.unflushed_budgets(), *self._shared.drain(at_the_end=True))
        return actions

    def _wakes(self, now: float) -> Iterator[float]:
        """The times at which something changes although nothing lands."""
        if self._refused >= REFUSALS:
            yield now
        if self._leases:
            yield self._leases.next_at
        yield from self._window.wakes(now)
        if self._stop_at is not None:
            yield self._stop_at
        elif self._scheduler.next_at is not None and not self._out_of_bytes:
            yield self._scheduler.next_at
