"""The page of hosts over all runs: how each host answered, in the newest runs that have a crawl directory.

Rules:
- The figures are those of the reports: the largest, slowest and most failing hosts of each run, and their rests. A host
  that is in none of these lists of any run is not here, and the page says so.
- Runs of one directory are the same crawl and count once.
"""

from __future__ import annotations

import msgspec

from crawler.report.facts import Facts, HostFacts
from crawler.service.web.run_states import ended
from crawler.service.web.visits import Answer, Shown, Visit

RUNS = 30
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

    def add(self, host: HostFacts) -> None:
        """Count one run."""
        self.runs += 1
        self.urls += host.urls
        self.fetched += host.fetched
        self.failed += host.failed
        self.owed += host.owed
        self.size += host.size
        self.seconds += host.seconds

    @property
    def mean(self) -> float | None:
        """Mean seconds of a fetch."""
        return self.seconds / self.fetched if self.fetched else None


async def hosts_page(visit: Visit) -> Answer:
    """Hosts, the largest first."""
    seen: set[str] = set()
    found: dict[str, HostOverall] = {}
    unread = 0
    for run in (await visit.service.runs(limit=RUNS)).items:
        if run.removed or run.started_at is None or run.directory in seen:
            continue
        seen.add(run.directory)
        read = await visit.facts.of(run.id, visit.service.directory(run.id), live=not ended(run))
        if read.facts is None:
            unread += 1
        else:
            count(found, read.facts)
    hosts = sorted(found.values(), key=lambda one: (-one.fetched, one.name))
    context = {"hosts": hosts[:LISTED], "more": max(0, len(hosts) - LISTED), "crawls": len(seen), "unread": unread}
    return Shown("hosts.html", context)


def count(found: dict[str, HostOverall], facts: Facts) -> None:
    """Add the hosts of one crawl."""
    listed = (*facts.hosts.largest, *facts.hosts.slowest, *facts.hosts.failing)
    for host in {one.name: one for one in listed}.values():
        found.setdefault(host.name, HostOverall(host.name)).add(host)
    for rest in facts.audit.rests:
        overall = found.get(rest.host)
        if overall is None:
            continue
        overall.breaches += rest.breach
        if rest.gap is not None and (overall.gap is None or rest.gap < overall.gap):
            overall.gap, overall.rest = rest.gap, rest.owed
