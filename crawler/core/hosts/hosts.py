"""The hosts in memory, the window that each has on its links, and what must be asked of the frontier.

Every link that is owed is in the frontier; some are in memory too, in the queues of their hosts. Ids grow in the order
of admission, so one number per host, `after`, tells the two apart: what is owed up to it is in memory, what is owed
beyond it is in the frontier only. Beyond `last` there is nothing unless the frontier answered that there is `more`.

Rules:
- A window is the host's share of `Bounds.links`, but never less than FEWEST. Where it is half empty and there is more,
  the frontier is asked (`RefillRequest`) and answers (`Refill`). Until it has, new links of the host stay out of memory
  too: a host is asked for its links in the order of their admission.
- Beyond `Bounds.hosts` the host that has been idle for longest is forgotten. Where none is idle a new host is not
  added, and its links wait in the frontier. When one place in FREE is free the frontier is searched for hosts that are
  owed something, round after round, until a whole round has found all that was left out.
- A host that may have been here before is asked for in the frontier first: its note, then its links. Its queue is empty
  until then, so nothing is asked of it.
- Of a host that was given up only the reason is remembered. Any other host forgets its failures, as in a resume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf

from crawler.core.bounds import Bounds
from crawler.core.hosts.host import NO_LIMITS, Host
from crawler.core.messages import (
    Actions,
    Budget,
    HostNote,
    HostScan,
    HostScanResult,
    Link,
    LiveLimits,
    Refill,
    RefillRequest,
)
from crawler.core.reasons import Reason
from crawler.core.rules import Rules
from crawler.core.traps.detector import REMEMBERED

FEWEST = 4
FINGERPRINTS = 100_000
"""Fingerprints of pages in memory. When a host is added it gets this / hosts of them, but at least FEWEST_PRINTS."""
FEWEST_PRINTS = 32
MOST = 500
FREE = 4  # a search begins when one place in FREE is free


class Hosts:
    """The hosts in memory. `awaited` counts the answers of the frontier that are pending."""

    def __init__(self, rules: Rules, bounds: Bounds) -> None:
        self.awaited = 0
        self._rules = rules
        self._bounds = bounds
        self._hosts: dict[str, Host] = {}
        self._limits = NO_LIMITS
        self._idle: dict[str, Host] = {}  # the one idle for longest first
        self._gone: dict[str, tuple[Reason, str]] = {}
        self._links = 0  # in memory, or asked for
        self._unknown = False  # whether hosts that are not in memory may be in the frontier
        self._left_out = self._left_out_again = False
        self._searching = False
        self._round_at = ""
        self._began_at = -inf
        self.on_added: Callable[[Host], None] = lambda host: None  # called when a host is added
        self._hungry: list[RefillRequest] = []
        self._notes: list[HostNote] = []
        self._budgets: list[Budget] = []

    def resume(self, now: float) -> None:
        """There was an earlier run: anything may be in the frontier, and every host rests first."""
        self._began_at = now
        self._unknown = self._left_out = True

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts.values())

    def get(self, name: str) -> Host | None:
        """The host, if it is in memory."""
        return self._hosts.get(name)

    # ---- hosts in memory ---------------------------------------------------------------------------------------------

    def get_or_add(self, name: str, now: float) -> Host | None:
        """The host, added where there is room for it; None: its links must wait in the frontier."""
        host = self._hosts.get(name)
        if host is not None:
            self._idle.pop(name, None)
        elif len(self._hosts) < self._bounds.hosts or self._forget_one(now):
            host = self.take_in(name)
        else:
            self._unknown = self._left_out_again = True
        return host

    def take_in(self, name: str) -> Host:
        """Add a host that is not in memory, whatever the bounds are."""
        host = self._hosts[name] = Host(name, self._rules, max(0.0, self._began_at + self._rules.delay))
        host.limit(self._limits)
        host.unknown = self._unknown
        host.ledger.remembered = max(FEWEST_PRINTS, min(REMEMBERED, FINGERPRINTS // len(self._hosts)))
        self.on_added(host)
        if name in self._gone:
            host.enter_gone(*self._gone.pop(name))
        if self._unknown:
            self._ask(host)
        return host

    def limit(self, limits: LiveLimits) -> None:
        """Every host, now and later, obeys these limits."""
        self._limits = limits
        for host in self._hosts.values():
            host.limit(limits)

    def retire(self, host: Host) -> None:
        """If the host is idle, allow it to be forgotten when its place is needed."""
        if self._is_idle(host):
            self._idle[host.name] = host

    def _is_idle(self, host: Host) -> bool:
        """Whether nothing is owed of it, and it was not forgotten already (a forgotten host may still be scheduled)."""
        busy = host.in_flight or host.window or host.retry_queue or host.requested or host.has_more
        return not busy and self._hosts.get(host.name) is host

    def _forget_one(self, now: float) -> bool:
        while self._idle:
            host = self._idle.pop(next(iter(self._idle)))
            if self._is_idle(host):  # it may have been offered links since
                self._forget(host, now)
                return True
        return False

    def _forget(self, host: Host, now: float) -> None:
        del self._hosts[host.name]
        self._budgets += host.ledger.unflushed(host.name)
        if host.gone is not None:
            self._gone[host.name] = (host.gone, host.gone_because)
        elif host.not_before > now:
            self._notes.append(host.note(now))
        self._unknown = True

    # ---- windows -----------------------------------------------------------------------------------------------------

    def spills(self, host: Host, link: Link) -> bool:
        """Whether a link, new or offered, has to wait in the frontier."""
        if link.id <= host.after:
            return False
        full = host.requested or host.has_more or host.window >= self._window
        host.last = link.id
        if full:
            self.feed(host)
            return True
        host.after = link.id
        return False

    def queue(self, host: Host, link: Link) -> None:
        """Queue a link in memory."""
        self._links += 1
        host.enqueue(link)

    def carry(self, host: Host) -> None:
        """Count a link in memory that waits to be carried over."""
        self._links += 1
        host.carrying += 1

    def carried(self, host: Host) -> None:
        """A link waits no more to be carried over: refill the queue of its host where that is due."""
        host.carrying -= 1
        self.taken(host)

    def taken(self, host: Host, links: int = 1) -> None:
        """So many links have left the queue of this host: refill it where that is due."""
        self._links -= links
        self.feed(host)

    def feed(self, host: Host) -> None:
        """Ask for more links where there are more and the window is half empty."""
        if host.has_more and not host.requested and host.window * 2 <= self._window:
            self._ask(host)

    @property
    def _window(self) -> int:
        if self._links >= self._bounds.links:
            return FEWEST
        return max(FEWEST, self._bounds.links // len(self._hosts))

    def _ask(self, host: Host) -> None:
        host.requested = MOST if host.gone is not None else min(MOST, self._window - host.window)
        self._links += host.requested
        self.awaited += 1
        self._hungry.append(RefillRequest(host.name, host.after, host.requested, first=host.unknown))

    def offered(self, event: Refill, now: float) -> Host:
        """Take the answer of the frontier about a host, except its links."""
        host = self._hosts[event.host]
        self.awaited -= 1
        self._links -= host.requested
        host.requested = 0
        host.unknown = False
        host.after = event.upto
        host.more = event.more
        if event.note is not None:
            host.recall(event.note, now, self._began_at)
        host.ledger.recall(event.budgets)
        return host

    def restart_absences(self, now: float) -> None:
        """The network was away: the absences of hosts count from now on."""
        for host in self._hosts.values():
            host.health.restart(now)

    def unflushed_budgets(self) -> Iterator[Budget]:
        """The budgets of these hosts that the frontier must store before they are forgotten."""
        for host in self._hosts.values():
            yield from host.ledger.unflushed(host.name)

    # ---- hosts that were left out ------------------------------------------------------------------------------------

    def drain_into(self, actions: Actions) -> None:
        """Add what the frontier must store, and what it is asked for, to the `actions`."""
        actions.notes += self._notes
        actions.budgets += self._budgets
        actions.refill_requests = self._hungry
        actions.search = self._search()
        self._notes, self._budgets, self._hungry = [], [], []

    def _search(self) -> HostScan | None:
        if self._searching or not (self._left_out or self._left_out_again):
            return None
        free = self._bounds.hosts - len(self._hosts) + len(self._idle)
        if free * FREE < self._bounds.hosts:
            return None
        self._searching = True
        if not self._round_at:
            self._left_out, self._left_out_again = True, False
        return HostScan(self._round_at, min(MOST, free))

    def found(self, event: HostScanResult, now: float) -> None:
        """Add those of these hosts that are not in memory, as long as there is room."""
        self._searching = False
        for name in event.hosts:
            if name not in self._hosts:
                self.get_or_add(name, now)
        self._round_at = "" if event.end else event.hosts[-1]
        if event.end:
            self._left_out = False
