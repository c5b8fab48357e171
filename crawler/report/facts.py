"""The data of one crawl's report, as plain values. All of it is read from disk, none is kept in memory by the run.

Times are Unix times, durations seconds, sizes decoded bytes. Every list is bounded: the report of a million URLs is as
long as that of a thousand.
"""

from __future__ import annotations

import msgspec

from crawler.core.endings import Conclusion
from crawler.core.reasons import Ending
from crawler.metrics.counters import Tally
from crawler.storage.directory import come_to
from crawler.storage.manifest import Manifest

MOST_BROKEN = 200
"""Maximum length of the list of broken links."""
TOP = 10
"""Maximum length of a list of hosts, URLs, errors or types."""


class Span(msgspec.Struct, frozen=True):
    """The time in which a run settled URLs; `pages` counts its stored bodies. `offset`: active seconds before it."""

    run: int
    start: float
    end: float
    pages: int
    offset: float = 0.0

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.end - self.start


class Bar(msgspec.Struct, frozen=True):
    """URLs settled in one interval of active time: `fine` (ok or a redirect), `other`; `size` is the bytes stored."""

    fine: int
    other: int
    size: int

    def plus(self, more: Bar) -> Bar:
        """Both together."""
        return Bar(self.fine + more.fine, self.other + more.other, self.size + more.size)


class PaceFacts(msgspec.Struct, frozen=True):
    """Throughput over active time, which excludes pauses between runs. Bar k begins at `k * width` seconds."""

    spans: tuple[Span, ...] = ()
    width: float = 1.0
    bars: tuple[Bar, ...] = ()

    @property
    def seconds(self) -> float:
        """Active time in seconds."""
        return sum(span.seconds for span in self.spans)

    def rebinned(self, width: float) -> PaceFacts:
        """The same with bars of this width, a multiple of the present one."""
        bars: list[Bar] = []
        for place, bar in enumerate(self.bars):
            if place % round(width / self.width) == 0:
                bars.append(Bar(0, 0, 0))
            bars[-1] = bars[-1].plus(bar)
        return PaceFacts(self.spans, width, tuple(bars))


class Percentiles(msgspec.Struct, frozen=True):
    """The fetch times (seconds) that 50, 95 and 99 % of the URLs did not exceed."""

    p50: float
    p95: float
    p99: float


class HostFacts(msgspec.Struct, frozen=True):
    """One host: URLs admitted, fetched, fetched but not ok, owed; bytes stored; total seconds of its fetches."""

    name: str
    urls: int
    fetched: int
    failed: int
    owed: int
    size: int
    seconds: float


class HostCounts(msgspec.Struct, frozen=True):
    """Number of hosts, and the top hosts by URLs, mean fetch time and failures."""

    count: int = 0
    largest: tuple[HostFacts, ...] = ()
    slowest: tuple[HostFacts, ...] = ()
    failing: tuple[HostFacts, ...] = ()


class TroubleFacts(msgspec.Struct, frozen=True):
    """One kind of error: its reason, status (0: none), detail, count, and the first URL with it."""

    reason: str
    status: int
    detail: str
    count: int
    url: str


class BrokenLink(msgspec.Struct, frozen=True):
    """A URL that answered 4xx or 5xx, and the first pages that link to it."""

    url: str
    status: int
    linked_from: tuple[str, ...] = ()


class FetchFacts(msgspec.Struct, frozen=True):
    """One of the slowest fetches or largest pages."""

    url: str
    reason: str
    status: int
    attempts: int
    size: int
    seconds: float


class Rest(msgspec.Struct, frozen=True):
    """The politeness to one host: pages checked, required rest and smallest gap in seconds (None: a single page), most
    fetches at once, whether the gap is below the rest."""

    host: str
    pages: int
    owed: float
    gap: float | None
    at_once: int
    breach: bool


class PolitenessFacts(msgspec.Struct, frozen=True):
    """Politeness as far as stored times show it. Of `run`, `pages` records on `hosts` were checked; `older` records are
    beyond the limit; `unread` parts could not be read. `rests` holds the hosts nearest to a breach."""

    run: int = 0
    pages: int = 0
    older: int = 0
    unread: int = 0
    hosts: int = 0
    owed_rest: int = 0
    breaches: int = 0
    at_once: int = 0
    rests: tuple[Rest, ...] = ()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One crawl. `durations`, `sizes`: (upper edge, count) of fetches and pages; `running`: the pid of a live run;
    `links_searched`: all pages were searched for links to what is `broken`; `command`: how this crawler is called."""

    out: str
    taken_at: float
    manifest: Manifest
    tally: Tally
    command: str
    running: int | None = None
    pace: PaceFacts = PaceFacts()
    fetch_times: Percentiles | None = None
    hosts: HostCounts = HostCounts()
    troubles: tuple[TroubleFacts, ...] = ()
    broken: tuple[BrokenLink, ...] = ()
    links_searched: bool = False
    slowest: tuple[FetchFacts, ...] = ()
    largest: tuple[FetchFacts, ...] = ()
    durations: tuple[tuple[float, int], ...] = ()
    sizes: tuple[tuple[float, int], ...] = ()
    types: tuple[tuple[str, int, int], ...] = ()
    depths: tuple[tuple[int, int], ...] = ()
    audit: PolitenessFacts = PolitenessFacts()
    files: tuple[tuple[str, int | None], ...] = ()

    @property
    def come_to(self) -> Conclusion | None:
        """The conclusion of the crawl; None while it is open."""
        return come_to(self.manifest, self.tally)

    @property
    def failed(self) -> bool:
        """Whether nothing could be fetched."""
        return self.come_to is not None and self.come_to.ending is Ending.FAILED

    @property
    def cpu_seconds(self) -> float | None:
        """CPU of the runs whose cost is kept: those that ended by themselves. None where there is none."""
        return sum(cost.cpu_seconds for cost in self.manifest.costs) if self.manifest.costs else None

    @property
    def peak_memory(self) -> int | None:
        """The largest peak of these runs, in bytes; None where there is none."""
        return max((cost.peak_memory for cost in self.manifest.costs), default=None)

    @property
    def over(self) -> bool:
        """Whether every URL is settled."""
        return self.tally.queued > 0 and not self.tally.owed

    @property
    def missed(self) -> dict[str, int]:
        """URLs missed so far, by reason, largest first."""
        return self.tally.conclude().because

    @property
    def rate(self) -> float:
        """URLs fetched per second of active time, 0 where that is zero."""
        return self.tally.urls / self.pace.seconds if self.pace.seconds else 0.0
