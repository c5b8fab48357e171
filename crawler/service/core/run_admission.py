"""Which queued runs may start.

Rules:
- At most so many runs at once, of all jobs. A paused run with a child counts; it has memory and connections.
- No two runs ask the same host at once: each crawl keeps the delay of a host by itself. What a run may ask is its
  reach, taken from its seeds and its scope before it starts.
- The reach is wider than the scope where that cannot be known exactly: "www." and the scheme make no difference, a
  whole domain with every host in it where the scope is "domain", everything where it is "any". A port that is not the
  scheme's own is another host, except for "domain". Hosts that a crawl has met (a seed may redirect) are added by the
  caller.
- First come, first served. A run waits behind each earlier one whose reach overlaps its own, also where that one is
  waiting itself, so no run is overtaken by those that it waits for. Runs that overlap nothing do not wait.
- The hosts of a run rest after its end as long as it let them rest between two requests: the next run does not know
  when they were asked last.
- Two runs that share a crawl directory do not run at once either, whatever their hosts.
- A retry takes part when its wait is over, at the place of its creation. Until then it holds its crawl directory: a
  later run there would take over the generation that the retry goes on with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from crawler.core.urls.canonical import canonical, host_of
from crawler.core.urls.domains import domain_of


class RunReach(NamedTuple):
    """The hosts that a run may ask: `hosts` as "name[:port]", with the domains that these are in, and all hosts of
    `whole_domains`; or, with `everything`, any host. `directory` is the crawl directory that it works in."""

    hosts: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    whole_domains: frozenset[str] = frozenset()
    everything: bool = False
    directory: str = ""

    def overlaps(self, other: RunReach) -> bool:
        """Whether both may ask the same host, or work in the same directory."""
        return (
            self.everything
            or other.everything
            or not self.hosts.isdisjoint(other.hosts)
            or not self.whole_domains.isdisjoint(other.domains)
            or not self.domains.isdisjoint(other.whole_domains)
            or (self.directory != "" and self.directory == other.directory)
        )


class QueuedRun(NamedTuple):
    """A run that waits; `not_before` is when a retry may start."""

    run: str
    reach: RunReach
    not_before: float = 0.0


class RestingHosts(NamedTuple):
    """The reach of a run that has ended, whose hosts are not asked before `until`."""

    reach: RunReach
    until: float


class Admitted(NamedTuple):
    """The runs that start now, and when to look again; None where no run waits for a time."""

    start: tuple[str, ...]
    wake_at: float | None


def reach_of(seeds: Iterable[str], scope: str, met: Iterable[str] = (), directory: str = "") -> RunReach:
    """The reach of a run with these seeds and this value of the key `scope`. `met`: hosts, "scheme://name[:port]", that
    its directory has already. Seeds that are no URLs reach nothing; the crawl will refuse them."""
    if scope == "any":
        return RunReach(everything=True, directory=directory)
    found = {host_of(url) for url in map(canonical, seeds) if url is not None} | set(met)
    domains = frozenset(map(domain_of, found))
    return RunReach(
        frozenset(map(_bare, found)), domains, domains if scope == "domain" else frozenset(), directory=directory
    )


def admit(
    queued: Sequence[QueuedRun],
    running: Iterable[RunReach],
    most: int,
    now: float,
    resting: Sequence[RestingHosts] = (),
) -> Admitted:
    """Choose the runs that start. `queued` in order of creation, `running` the reach of each run with a child, `most`
    how many may have one."""
    taken = list(running)
    room = most - len(taken)
    start, later = list[str](), list[float]()
    for one in queued:
        if one.not_before > now:
            later.append(one.not_before)
            taken.append(RunReach(directory=one.reach.directory))
            continue
        rest = max((other.until for other in resting if one.reach.overlaps(other.reach)), default=now)
        if rest > now:
            later.append(rest)
        elif room > 0 and not any(one.reach.overlaps(other) for other in taken):
            start.append(one.run)
            room -= 1
        taken.append(one.reach)  # it runs, or those behind it wait for it
    return Admitted(tuple(start), min(later, default=None))


def _bare(host: str) -> str:
    """A host without its scheme, "www." and the dot of the root; canonical ones name no port of the scheme."""
    return host.partition("://")[2].removeprefix("www.").removesuffix(".")
