"""The page of hosts over all runs: how each host answered, in the newest runs that have a crawl directory.

Rules:
- The figures are those of the API and of the reports: the hosts with most URLs of each run, and the rests that the
  audit of its politeness lists. What is left out is said.
- Runs of one directory are the same crawl and count once.
"""

from __future__ import annotations

from time import monotonic

import msgspec

from crawler.service.crawl_reader import HostOfRun
from crawler.service.web.crawl_facts import FactsRead
from crawler.service.web.run_states import ended
from crawler.service.web.visits import Answer, Shown, Visit

RUNS = 30
WAIT = 4.0
"""Seconds that the page waits for all readings together."""
LISTED = 100


class HostOverall(msgspec.Struct):
    """A host over several runs: URLs, fetches, failures, bytes, total seconds of fetches; the smallest gap between two
    pages and the rest owed there, in seconds; how often that was too small."""

    name: str
    runs: int = 0
    urls: int = 0
    fetched: int = 0
    failed: int = 0
    owed: int = 0
    size: int = 0
    seconds: float = 0.0
    rest: float | None = None
    gap: float | None = None
    breaches: int = 0

    def add(self, host: HostOfRun) -> None:
        """Count one run."""
        self.runs += 1
        self.urls += host.urls
        self.fetched += host.fetched
        self.failed += host.failed
        self.owed += host.owed
        self.size += host.bytes
        self.seconds += host.seconds

    @property
    def mean(self) -> float | None:
        """Mean seconds of a fetch."""
        return self.seconds / self.fetched if self.fetched else None


async def hosts_page(visit: Visit) -> Answer:
    """Hosts, the largest first."""
    seen: set[str] = set()
    found: dict[str, HostOverall] = {}
    unread = cut = 0
    give_up_at = monotonic() + WAIT
    for run in (await visit.service.runs(limit=RUNS)).items:
        if run.removed or run.started_at is None or run.directory in seen:
            continue
        seen.add(run.directory)
        wait = max(0.0, give_up_at - monotonic())
        read = await visit.facts.of(run.id, visit.service.directory(run.id), live=not ended(run), wait=wait)
        unread += read.facts is None
        cut += read.more_hosts
        count(found, read)
    hosts = sorted(found.values(), key=lambda one: (-one.fetched, one.name))
    context = {
        "hosts": hosts[:LISTED],
        "more": max(0, len(hosts) - LISTED),
        "crawls": len(seen),
        "unread": unread,
        "cut": cut,
    }
    return Shown("hosts.html", context)


def count(found: dict[str, HostOverall], read: FactsRead) -> None:
    """Add the hosts of one crawl."""
    for host in read.hosts:
        found.setdefault(host.host, HostOverall(host.host)).add(host)
    for rest in read.facts.audit.rests if read.facts else ():
        overall = found.get(rest.host)
        if overall is None:
            continue
        overall.breaches += rest.breach
        if rest.gap is not None and (overall.gap is None or rest.gap < overall.gap):
            overall.gap, overall.rest = rest.gap, rest.owed
