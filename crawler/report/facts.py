"""What a report tells of one crawl, as plain values. All of it is read from the disk, none of it is remembered.

Times are Unix times, durations seconds, sizes decoded bytes. Every list is short: a crawl of a million URLs has a
report as long as one of a thousand.
"""

from __future__ import annotations

import msgspec

from crawler.core.endings import Conclusion
from crawler.metrics.counters import Tally
from crawler.storage.directory import come_to
from crawler.storage.manifest import Manifest

TOP = 10
"""The length of a list of hosts, URLs, errors or types."""


class Span(msgspec.Struct, frozen=True):
    """The time in which a run settled URLs; `pages` is how many bodies it stored. `offset`: the active time before."""

    run: int
    start: float
    end: float
    pages: int
    offset: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.end - self.start


class Bar(msgspec.Struct, frozen=True):
    """What was settled in one stretch of active time: `fine` (ok or a redirect), `other`, bytes stored."""

    fine: int
    other: int
    size: int


class PaceFacts(msgspec.Struct, frozen=True):
    """Throughput over active time: pauses between runs are left out. Bar k begins at `k * width` seconds."""

    spans: tuple[Span, ...] = ()
    width: float = 1.0
    bars: tuple[Bar, ...] = ()

    @property
    def seconds(self) -> float:
        """The active time."""
        return sum(span.seconds for span in self.spans)


class HostFacts(msgspec.Struct, frozen=True):
    """One host: URLs admitted, fetched, owed, fetched and not ok; bytes stored; seconds of its fetches in all."""

    name: str
    urls: int
    fetched: int
    failed: int
    owed: int
    size: int
    seconds: float


class HostCounts(msgspec.Struct, frozen=True):
    """How many hosts there are, and those that stand out."""

    count: int = 0
    largest: tuple[HostFacts, ...] = ()
    slowest: tuple[HostFacts, ...] = ()
    failing: tuple[HostFacts, ...] = ()


class TroubleFacts(msgspec.Struct, frozen=True):
    """One kind of error: its reason, its status (0: none), what was said, how often, the first URL it happened to."""

    reason: str
    status: int
    detail: str
    count: int
    url: str


class FetchFacts(msgspec.Struct, frozen=True):
    """One URL that stands out."""

    url: str
    reason: str
    status: int
    attempts: int
    size: int
    seconds: float


class Rest(msgspec.Struct, frozen=True):
    """How one host was treated: pages looked at, the rest it is owed, the smallest gap seen (None: a single page), the
    most fetches at once, whether the gap is below the rest."""

    host: str
    pages: int
    owed: float
    gap: float | None
    at_once: int
    breach: bool


class PolitenessFacts(msgspec.Struct, frozen=True):
    """Politeness as far as stored times show it. `run` was looked at, `pages` of its records on `hosts`; `older` were
    not, being more than are looked at; `unread` parts could not be read. `rests` has those nearest to a breach."""

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
    """One crawl. `durations`, `sizes` count fetches and pages up to each edge; `running` is the process at work."""

    out: str
    taken_at: float
    manifest: Manifest
    tally: Tally
    running: int | None = None
    pace: PaceFacts = PaceFacts()
    hosts: HostCounts = HostCounts()
    troubles: tuple[TroubleFacts, ...] = ()
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
        """What the crawl has come to; None while that is open."""
        return come_to(self.manifest, self.tally)

    @property
    def over(self) -> bool:
        """Is nothing owed any more?"""
        return self.tally.queued > 0 and not self.tally.owed

    @property
    def missed(self) -> dict[str, int]:
        """What was missed so far, by reason, largest first."""
        return self.tally.conclude().because

    @property
    def rate(self) -> float:
        """URLs fetched per second of active time, 0 where that is not known."""
        return self.tally.urls / self.pace.seconds if self.pace.seconds else 0.0
