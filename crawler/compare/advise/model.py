"""The cost model of an engine: pages/s that it reaches with a job. Pure.

Rules, and why:
- A crawl is a closed queueing network: `slots` pages circulate between the server, which only takes time, and the CPU.
  Two bounds follow (Denning and Buzen 1978): by Little's law slots / (latency + hold + CPU of a page), and what the CPU
  can do. Throughput is their smooth minimum (slots^-k + CPU^-k)^(-1/k): near the knee slots and CPU wait for each
  other, and how much depends on the engine, so `knee` is fitted.
- The CPU's bound is the lowest of three. One process does a page in `serial` of its CPU at a time, because of the event
  loop or the GIL; there are as many such processes as workers. All cores together do all of a page's CPU. The parent of
  `processes` does by itself what its workers do not.
- What the crawler does for a page grows with its bytes, and as a power of the slots, since switching between more of
  them costs more. The job's own CPU per page is Python code: all of it is serial, and it does not grow.
- `served` is the CPU of a server on the same cores. It counts where the model is fitted, since our webs share the
  machine; the server of a job is elsewhere.
- Politeness is exact and therefore a hard limit: a host is asked by one connection, which rests for `delay` after each
  fetch. Pages are taken to be spread evenly over the hosts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

SLOTS = 64
"""The slots at which `cpu` and `byte` are told."""
OF_MANY_PROCESSES = ("processes", "prefork")


LIMITS = {
    "slots": "slots that wait for the server",
    "one core": "one core, by the GIL or the event loop",
    "workers": "the worker processes",
    "cores": "all cores",
    "parent": "the parent process",
    "politeness": "politeness: hosts and delay",
}
"""What can limit an engine, in words."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A job: seconds that the server takes, CPU seconds a page besides the crawler's own, bytes a page, fetches in
    flight, cores, hosts, seconds between two fetches of a host; CPU seconds a page of a server on the same cores."""

    latency: float
    cpu: float = 0.0
    payload: float = 16_384
    slots: int = SLOTS
    cores: int = 1
    hosts: int = 1
    delay: float = 0.0
    served: float = 0.0
    workers: int = 0
    """Worker processes; 0: one for each core."""


class EngineCosts(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine adds to a job.

    `hold`: seconds that a page keeps its slot besides latency and CPU. `cpu`: CPU seconds a page at SLOTS slots, whole
    process tree. `byte`: the same for each byte of a page. `serial`: the share of it that one process does alone.
    `growth`: the power of the slots with which it grows. `knee`: how sharply the bounds meet, None for a corner.
    `start`: seconds of a crawl besides its pages. As it is without any of them, no engine can be faster.
    """

    mode: str
    hold: float = 0.0
    cpu: float = 0.0
    byte: float = 0.0
    serial: float = 1.0
    growth: float = 0.0
    knee: float | None = None
    start: float = 0.0

    def own(self, work: Work) -> float:
        """CPU seconds of the crawler itself for a page, whole process tree."""
        return (self.cpu + self.byte * work.payload) * math.pow(work.slots / SLOTS, self.growth)


class Forecast(NamedTuple):
    """Pages/s, and what limits them: a key of LIMITS."""

    rate: float
    limit: str


def forecast(costs: EngineCosts, work: Work) -> Forecast:
    """Pages/s of an engine; inf where nothing limits it."""
    own = costs.own(work)
    serial = own * costs.serial
    workers = min(work.slots, work.workers or work.cores) if costs.mode in OF_MANY_PROCESSES else 1
    computed = {
        "one core" if workers == 1 else "workers": _per(workers, serial + work.cpu),
        "cores": _per(work.cores, own + work.cpu + work.served),
        "parent": _per(1, own - serial) if costs.mode == "processes" else math.inf,
    }
    limit = min(computed, key=computed.__getitem__)
    slots, cpu = _per(work.slots, work.latency + costs.hold + serial + work.cpu), computed[limit]
    rate = smooth_minimum(slots, cpu, costs.knee)
    polite = polite_rate(work)
    if polite <= rate:
        return Forecast(polite, "politeness")
    return Forecast(rate, "slots" if slots <= cpu else limit)


def polite_rate(work: Work) -> float:
    """Pages/s that hosts with a delay allow. inf without one."""
    return _per(work.hosts, work.delay + work.latency) if work.delay else math.inf


def smooth_minimum(a: float, b: float, knee: float | None) -> float:
    """(a^-knee + b^-knee)^(-1/knee); the minimum itself without a knee."""
    low, high = min(a, b), max(a, b)
    if knee is None or math.isinf(high):
        return low
    return low * math.pow(1 + math.pow(low / high, knee), -1 / knee)


def _per(count: float, seconds: float) -> float:
    return count / seconds if seconds > 0 else math.inf
