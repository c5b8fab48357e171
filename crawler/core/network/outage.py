"""Is it the web that fails, or our own way to it? While it seems to be ours the crawl pauses and nothing is spent.

Rules:
- Evidence are connections that could not be made (no name, no connection, time-out while connecting), and answers of
  any kind. A connection that breaks or stays silent may be either's fault: it is no evidence.
- Only hosts that have answered in this run are witnesses: one that was never there tells nothing by staying away. While
  nobody has, all hosts are, but a few of them prove nothing, unless an earlier run had answers. All are, too, in the
  silence after a witness has failed.
- Each witness counts once, by its last landing within WINDOW seconds. From MANY witnesses on it is an outage if SHARE
  of them failed, of fewer if all did, and FEW failures in a row were heard.
- One host alone is never an outage: it is away (crawler/core/hosts/health.py).
- A connection that breaks or stays silent, of a host that has answered, is in doubt until an answer comes or for DOUBT
  seconds (then it is judged as any other), or until the outage is certain: then it never happened. In an outage no
  failure to reach a host ever happened.
- When the run is stopped what is in doubt counts.
- In an outage one host is asked every PROBE_PERIOD seconds. The first answer of a witness that had failed ends it.
- After `wait` seconds we give up hoping: until the next answer failures are judged as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto
from math import inf

from crawler.core.hosts.health import is_unreached
from crawler.core.hosts.host import Host
from crawler.core.messages import Failed, Fetched, FetchErrorKind, FetchResult, Link

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
    """What to make of a landing."""

    HOST_FAULT = auto()
    UNDECIDED = auto()
    NETWORK_FAULT = auto()


Decided = tuple[Host, Link, Failed, Fault]


class Outage:
    """What the landings of one crawl say of the network. `wait` is in seconds; 0: nobody asks."""

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
        """The network seems to be away."""
        return self._since != inf

    def wakes(self, now: float) -> Iterator[float]:
        """When something changes here although nothing lands."""
        if self.on:
            yield self._since + self._wait
            if self._probe_at > now:
                yield self._probe_at
        elif self._undecided:
            yield next(iter(self._undecided.values()))[3]

    def trust(self) -> None:
        """An earlier run has had answers, so there has been a network."""
        self._trusted = True

    def stop(self) -> None:
        """The run ends: nobody waits to be sure any more."""
        self._stopped = True
        self._decide(Fault.HOST_FAULT)

    def probes(self, now: float) -> int:
        """How many hosts may be asked in an outage."""
        return int(now >= self._probe_at)

    def asked(self, now: float) -> None:
        """A host was asked for something."""
        if self.on:
            self._probe_at = now + PROBE_PERIOD

    # ---- evidence ----------------------------------------------------------------------------------------------------

    def observe(self, host: Host, event: FetchResult, now: float) -> Fault:
        """Take one landing as evidence, before anything else is made of it."""
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
                return  # it never failed: it lies on this side of what is broken
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

    # ---- what is in doubt --------------------------------------------------------------------------------------------

    def doubt(self, host: Host, link: Link, event: Failed, now: float) -> float:
        """Keep a failure until it is decided; by when it is at the latest."""
        self._undecided[link.id] = host, link, event, now + DOUBT
        return now + DOUBT

    def decided(self, now: float) -> list[Decided]:
        """The failures that are in doubt no longer."""
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
