"""Outage detection: whether the web fails or our own network. In an outage the crawl pauses and no attempt is spent.

Rules:
- Evidence are connections that could not be made (no name, no connection, time-out while connecting), and answers of
  any kind. A connection that breaks or stays silent may be the fault of either side: it is no evidence.
- Only hosts that have answered in this run are sampled (witnesses). While none has, all hosts are sampled, but fewer
  than MANY of them prove nothing, unless an earlier run had answers. All hosts are sampled, too, from the failure of a
  witness to the next answer.
- Each witness counts once, by its last landing within WINDOW seconds. From MANY witnesses on it is an outage if SHARE
  of them failed; with fewer, if all failed and there were FEW failures in a row.
- One host alone is never an outage: it is away (crawler/core/hosts/health.py).
- A connection that breaks or stays silent, of a host that has answered, is undecided until an answer comes or for DOUBT
  seconds: then it is judged as any other failure. If the outage is certain before that, it does not count. In an outage
  no failure to reach a host counts.
- When the run is stopped undecided failures count.
- In an outage one host is asked every PROBE_PERIOD seconds. The first answer of a witness that had failed ends it.
- After `wait` seconds the outage is declared over: until the next answer failures are judged as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto
from math import inf

from crawler.core.hosts.health import is_unreached
from crawler.core.hosts.host import Host
from crawler.core.messages import Failed, Fetched, FetchResult, Link
from crawler.core.reasons import FetchErrorKind

WINDOW = 10.0
MANY = 20
SHARE = 0.9
FEW = 3
DOUBT = 2.0
FIRST_PROBE = 1.0
PROBE_PERIOD = 5.0
ANSWERS = frozenset({FetchErrorKind.TLS, FetchErrorKind.PROTOCOL, FetchErrorKind.ENCODING})
UNREACHED = frozenset({FetchErrorKind.DNS, FetchErrorKind.CONNECT, FetchErrorKind.TIMEOUT, FetchErrorKind.DISCONNECT})


class Fault(Enum):
    """Whose fault a landing is."""

    HOST_FAULT = auto()
    UNDECIDED = auto()
    NETWORK_FAULT = auto()


Decided = tuple[Host, Link, Failed, Fault]


class Outage:
    """Whether the network is away, by the landings of one crawl. `wait` is in seconds; 0: outages are not detected."""

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._since = inf
        self._probe_at = inf
        self._sampled: dict[str, tuple[float, bool]] = {}  # when a host landed last, whether it failed; oldest first
        self._failing = self._in_a_row = 0
        self._heard_any = self._trusted = self._hopeless = self._stopped = False
        self._undecided: dict[int, tuple[Host, Link, Failed, float]] = {}
        self._decided: list[Decided] = []
        self.ended: Callable[[float], None] = lambda now: None  # called when an outage is over

    @property
    def on(self) -> bool:
        """Whether the network seems to be away."""
        return self._since != inf

    def wakes(self, now: float) -> Iterator[float]:
        """The times at which something changes here although nothing lands."""
        if self.on:
            yield self._since + self._wait
            if self._probe_at > now:
                yield self._probe_at
        elif self._undecided:
            yield next(iter(self._undecided.values()))[3]

    def trust(self) -> None:
        """An earlier run has had answers, so the network worked then."""
        self._trusted = True

    def stop(self) -> None:
        """The run ends: undecided failures count."""
        self._stopped = True
        self._decide(Fault.HOST_FAULT)

    def probes(self, now: float) -> int:
        """How many hosts may be asked in an outage: 0 or 1."""
        return int(now >= self._probe_at)

    def asked(self, now: float) -> None:
        """Note that a fetch was sent out."""
        if self.on:
            self._probe_at = now + PROBE_PERIOD

    # ---- evidence ----------------------------------------------------------------------------------------------------

    def observe(self, host: Host, event: FetchResult, now: float) -> Fault:
        """Take one landing as evidence, before anything else is decided about it."""
        if isinstance(event, Fetched) or event.kind in ANSWERS:
            self._answered(host, now)
            return Fault.HOST_FAULT
        if self.on and event.kind in UNREACHED:
            return Fault.NETWORK_FAULT
        if not self._wait or event.kind not in UNREACHED or self._hopeless or self._stopped:
            return Fault.HOST_FAULT
        if not is_unreached(event):
            return Fault.UNDECIDED if host.heard else Fault.HOST_FAULT
        if self._heard_any and not host.heard and not self._in_a_row:
            return Fault.HOST_FAULT  # no witness
        self._record(host, now, failed=True)
        self._in_a_row += 1
        if self._is_away():
            self._since, self._probe_at = now, now + FIRST_PROBE
            self._decide(Fault.NETWORK_FAULT)
            return Fault.NETWORK_FAULT
        return Fault.HOST_FAULT

    def _answered(self, host: Host, now: float) -> None:
        host.heard = True
        if not self._heard_any:
            self._heard_any = True
            self._forget()
        if self.on:
            if not self._sampled.get(host.name, (now, True))[1]:
                return  # it never failed in the outage: it may be on our side of the fault
            self._end(now)
        self._hopeless = False
        self._in_a_row = 0
        self._decide(Fault.HOST_FAULT)
        self._record(host, now, failed=False)

    def _record(self, host: Host, now: float, failed: bool) -> None:
        sampled = self._sampled
        self._failing += failed - sampled.pop(host.name, (now, False))[1]
        sampled[host.name] = now, failed
        while sampled[oldest := next(iter(sampled))][0] <= now - WINDOW:
            self._failing -= sampled.pop(oldest)[1]

    def _is_away(self) -> bool:
        sampled = len(self._sampled)
        if sampled >= MANY:
            return self._failing >= SHARE * sampled
        known = self._heard_any or self._trusted
        return known and 2 <= sampled == self._failing and self._in_a_row >= FEW

    def _end(self, now: float) -> None:
        self._since = self._probe_at = inf
        self._forget()
        self.ended(now)

    def _forget(self) -> None:
        self._sampled.clear()
        self._failing = self._in_a_row = 0

    # ---- undecided failures ------------------------------------------------------------------------------------------

    def doubt(self, host: Host, link: Link, event: Failed, now: float) -> float:
        """Keep a failure until it is decided; returns the time by which it is."""
        self._undecided[link.id] = host, link, event, now + DOUBT
        return now + DOUBT

    def decided(self, now: float) -> list[Decided]:
        """The failures that have been decided since the last call."""
        if self.on and now >= self._since + self._wait:
            self._hopeless = True
            self._end(now)
        while self._undecided and next(iter(self._undecided.values()))[3] <= now:
            host, link, event, _ = self._undecided.pop(next(iter(self._undecided)))
            self._decided.append((host, link, event, Fault.HOST_FAULT))
        decided, self._decided = self._decided, []
        return decided

    def _decide(self, verdict: Fault) -> None:
        self._decided += [(host, link, event, verdict) for host, link, event, _ in self._undecided.values()]
        self._undecided.clear()
