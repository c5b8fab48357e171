"""How many fetches may be in flight, and which failures are the fault of this machine or its network, not of a host.

Three things limit fetches. Someone who watches the crawl limits or pauses it (`LiveLimits`). The network is away (see
crawler/core/network/outage.py). Or this process has run out of something that each fetch needs, usually descriptors:
then fewer fetches go out, as many as were in flight, less a quarter, and one more each time that so many have landed
(the additive increase and multiplicative decrease of RFC 5681).

Rules:
- A failure of this machine or its network spends no attempt, does not count against the host, and is asked again.
- Every wait ends. Where fetches starve although nothing else is in flight, for as long as an outage is waited for, they
  fail as any other.
- A page that memory does not suffice for may be too large for it. It is asked again after a gap that doubles each time,
  up to LONGEST_GAP; the ALONE-th time that it fails with nothing else in flight it fails as any other.
"""

from __future__ import annotations

from crawler.core.bounds import PLENTY
from crawler.core.hosts.host import Host
from crawler.core.messages import Actions, Failed, Fetched, FetchResult, Link, LiveLimits
from crawler.core.network.outage import Fault, Outage
from crawler.core.reasons import NO_MEMORY, FetchErrorKind, Pause

REST = 1.0
"""Seconds until what starved is asked again, and between two cuts of what may be in flight."""
LONGEST_GAP = 32.0
MEMORY_PATIENCE = 30.0
"""Seconds that a robots.txt waits for memory while nothing else is in flight: no other fetch could free any."""
ALONE = 5


class FetchWindow(Outage):
    """What one crawl may send out; `paused` by its user: nothing. `wait` is how long it may starve, `outage` is
    `wait` of `Outage`; both in seconds."""

    def __init__(self, wait: float, outage: float) -> None:
        super().__init__(outage)
        self._longest = wait
        self._most = self._limit = PLENTY
        self.paused = False
        self._landed = 0
        self._cut_at = -REST
        self._starving_since: float | None = None
        self._pauses: list[Pause] = []
        self._short: dict[int, tuple[int, int]] = {}  # links without memory: tries, those with nothing else in flight

    def room(self, room: int, in_flight: int, now: float) -> int:
        """How many of `room` fetches may go out."""
        if self.paused:
            return 0
        room = min(room, min(self._most, self._limit) - in_flight)
        return min(room, self.probes(now)) if self.on else room

    def limit(self, limits: LiveLimits) -> bool:
        """Obey these limits from now on. Returns whether they end a pause."""
        ended = self.paused and not limits.paused
        if limits.paused and not self.paused:
            self._pauses.append(Pause.USER)
        self.paused = limits.paused
        self._limit = PLENTY if limits.concurrency is None else limits.concurrency
        return ended

    def judge(self, host: Host, event: FetchResult, in_flight: int, now: float, link: Link | None = None) -> Fault:
        """Whose fault a landing is; `in_flight` fetches are still out."""
        if isinstance(event, Failed) and event.kind is FetchErrorKind.RESOURCE_EXHAUSTED:
            return self._starved(event, in_flight, now, link)
        if self._short and link is not None:
            self._short.pop(link.id, None)
        if isinstance(event, Fetched):
            self._fed()
        was_on = self.on
        verdict = self.observe(host, event, now)
        if self.on and not was_on:
            self._pauses.append(Pause.OUTAGE)
        return verdict

    def retry_at(self, host: Host, link: Link, event: Failed, verdict: Fault, now: float) -> float:
        """When to ask again for what failed by no fault of its host. An undecided failure is kept until it is
        decided."""
        if verdict is Fault.UNDECIDED:
            return self.doubt(host, link, event, now)
        if link.id in self._short:
            return now + min(LONGEST_GAP, REST * 2.0 ** (self._short[link.id][0] - 1))
        return self.again_at(event, now)

    def again_at(self, event: FetchResult, now: float) -> float:
        """When to ask again after this landing; in an outage at once, because the probes limit what goes out."""
        return now if self.on else now + REST

    def drain_into(self, actions: Actions) -> None:
        """Add the pauses that began, and whether the network is away or the crawl is paused, to the
        `actions`."""
        actions.away = self.on
        actions.paused = self.paused
        actions.pauses, self._pauses = self._pauses, []

    def _starved(self, event: Failed, in_flight: int, now: float, link: Link | None) -> Fault:
        of_memory = event.detail.startswith(NO_MEMORY)
        if now >= self._cut_at + REST:
            self._cut_at = now
            self._most = max(1, min(self._most, in_flight + 1) * 3 // 4)
            self._landed = 0
            self._pauses.append(Pause.MEMORY if of_memory else Pause.STARVED)
        if of_memory and link is not None:
            return self._without_memory(link, in_flight)
        if in_flight:
            self._starving_since = None
        elif self._starving_since is None:
            self._starving_since = now
        patience = min(self._longest, MEMORY_PATIENCE) if of_memory else self._longest
        hopeless = self._starving_since is not None and now - self._starving_since >= patience
        return Fault.HOST_FAULT if hopeless else Fault.NETWORK_FAULT

    def _without_memory(self, link: Link, in_flight: int) -> Fault:
        tries, alone = self._short.pop(link.id, (0, 0))
        alone += not in_flight
        if alone >= ALONE:
            return Fault.HOST_FAULT
        self._short[link.id] = tries + 1, alone
        return Fault.NETWORK_FAULT

    def _fed(self) -> None:
        self._starving_since = None
        if self._most < PLENTY:
            self._landed += 1
            if self._landed >= self._most:
                self._landed = 0
                self._most += 1
