"""Counts that add up: what a crawl directory holds (`Tally`) and what one run did (`RunStats`).

A tally belongs to the directory and is committed with the rows it counts, so it is exact after any kill. Run statistics
belong to one run of one process tree; they are reported, not stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from crawler.core.endings import COUNTS, Conclusion, answered, conclude
from crawler.core.messages import Actions, Settled
from crawler.core.page import digest
from crawler.core.reasons import Ending, NotFollowed, Pause
from crawler.core.urls.canonical import host_of
from crawler.metrics.histogram import Histogram

MAX_HOSTS = 10_000
OTHER_HOSTS = "(other hosts)"
NONE: Mapping[NotFollowed, int] = {}
SUMS = (
    *("queued", "settled", "urls", "pages", "bytes", "retries", "truncated"),
    *("links_cut", "unread", "too_deep", "cookies_dropped", "seeds_answered", "not_modified", "bytes_saved"),
    "carried_over",
)


class Tally(msgspec.Struct):
    """What is settled in a directory. `urls` were fetched at least once; the bodies of `pages` have `bytes` in all;
    `seeds_answered` with 2xx or 3xx. The tally of one of several shards may be negative: rows are moved between them
    and counts are not, so only the sum is meaningful. `not_followed` counts links on pages that are no URLs of the
    crawl, by `NotFollowed`: each link once per page. `not_modified` pages were confirmed by a 304, which spared
    `bytes_saved` of their bodies; those `carried_over` were not asked for."""

    queued: int = 0
    settled: int = 0
    urls: int = 0
    pages: int = 0
    bytes: int = 0
    retries: int = 0
    truncated: int = 0
    links_cut: int = 0
    unread: int = 0
    too_deep: int = 0
    pauses: dict[str, int] = {}
    cookies_dropped: int = 0
    statuses: dict[str, int] = {}
    reasons: dict[str, int] = {}
    digest: str = digest.in_hex(0)
    seeds_answered: int = 0
    not_followed: dict[str, int] = {}
    not_modified: int = 0
    bytes_saved: int = 0
    carried_over: int = 0

    def add(
        self,
        queued: int,
        settled: Iterable[Settled],
        retries: int,
        too_deep: int,
        dropped: int,
        pauses: Iterable[Pause] = (),
        not_followed: Mapping[NotFollowed, int] = NONE,
    ) -> None:
        """Count one commit."""
        _add_up(self.not_followed, not_followed)
        for pause in pauses:
            self.pauses[pause] = self.pauses.get(pause, 0) + 1
        self.queued += queued
        self.retries += retries
        self.too_deep += too_deep
        self.cookies_dropped += dropped
        self._count(settled, 1)

    def take_back(self, reopened: Iterable[Settled]) -> None:
        """Subtract these reopened URLs: they are owed again."""
        self._count(reopened, -1)

    def _count(self, ends: Iterable[Settled], sign: int) -> None:
        reasons, statuses, total = self.reasons, self.statuses, 0
        for end in ends:
            self.settled += sign
            reasons[end.reason] = reasons.get(end.reason, 0) + sign
            if end.attempts:
                self.urls += sign
            if end.cut:
                self.links_cut += sign * end.cut
            if end.unread is not None:
                self.unread += sign
            if end.truncated:
                self.truncated += sign
            if end.seed and answered(end.status):
                self.seeds_answered += sign
            if end.part:
                self.pages += sign
                self.bytes += sign * end.size
            if end.not_modified:
                self.not_modified += sign
                self.bytes_saved += sign * end.size
            if end.carried:
                self.carried_over += sign
            if end.status:
                status = str(end.status)
                statuses[status] = statuses.get(status, 0) + sign
                total += int.from_bytes(end.digest or digest.term(end.url, end.status), "big")
        self.digest = digest.in_hex((int(self.digest, 16) + sign * total) % digest.MODULUS)
        if sign < 0:
            _drop_zeros(reasons)
            _drop_zeros(statuses)

    def conclude(self, ran: Ending = Ending.COMPLETE) -> Conclusion:
        """The conclusion of the crawl. `ran`: how its last run ended, used where URLs are owed; a run that was stopped
        before it admitted a URL owes its seeds."""
        return conclude(
            ran,
            owed=self.owed if self.queued else int(ran is not Ending.COMPLETE),
            pages=self.pages,
            seeds_answered=self.seeds_answered,
            reasons=self.reasons,
            counts={name: getattr(self, name) for name in COUNTS},
        )

    @property
    def owed(self) -> int:
        """URLs admitted and not settled."""
        return self.queued - self.settled

    def merge(self, other: Tally) -> None:
        """Add the tally of another shard."""
        for key in SUMS:
            setattr(self, key, getattr(self, key) + getattr(other, key))
        for key in ("pauses", "statuses", "reasons", "not_followed"):
            _add_up(getattr(self, key), getattr(other, key))
        self.digest = digest.in_hex(digest.add(int(self.digest, 16), [int(other.digest, 16).to_bytes(16, "big")]))


def _drop_zeros(counts: dict[str, int]) -> None:
    """Remove names whose count is 0."""
    for name in [name for name, count in counts.items() if not count]:
        del counts[name]


def _add_up(mine: dict[str, int], theirs: Mapping[Any, int]) -> None:
    """Add counts by name; removes names whose count is then 0."""
    for name, count in theirs.items():
        mine[name] = mine.get(name, 0) + count
        if not mine[name]:
            del mine[name]


class InFlight:
    """The pages that are being fetched: from the decision to fetch until they settle or are retried. Without
    robots.txt. Also why the crawl pauses.

    `elsewhere`: (pages in flight, hosts in flight, why it pauses) of other processes, by their number; a host in two
    processes counts twice.
    """

    def __init__(self) -> None:
        self.elsewhere: dict[int, tuple[int, int, str]] = {}
        self._urls: set[str] = set()
        self._pauses: set[Pause] = set()

    def pause(self, why: Pause, lasts: bool) -> None:
        """A pause begins (`lasts`) or ends; from any thread."""
        (self._pauses.add if lasts else self._pauses.discard)(why)

    def see(self, actions: Actions) -> None:
        """Count one step."""
        self._urls.difference_update([end.url for end in actions.settled], [link.url for link in actions.retries])
        self._urls.update(fetch.url for fetch in actions.fetches if not fetch.robots)
        self.pause(Pause.OUTAGE, actions.away)
        self.pause(Pause.USER, actions.paused)

    @property
    def paused(self) -> str:
        """Why the crawl, or a part of it, pauses now; "" where it does not. From any thread."""
        everywhere = [*sorted(self._pauses), *(why for _, _, why in list(self.elsewhere.values()))]
        return next((str(why) for why in everywhere if why), "")

    @property
    def pages(self) -> int:
        """Pages in flight; from any thread."""
        return len(self._urls) + sum(pages for pages, _, _ in list(self.elsewhere.values()))

    @property
    def hosts(self) -> int:
        """Hosts with pages in flight; from any thread."""
        return len({host_of(url) for url in list(self._urls)}) + sum(
            hosts for _, hosts, _ in list(self.elsewhere.values())
        )


STATUS_CLASSES = tuple(f"{first}xx" for first in range(10))


class HostStats(msgspec.Struct):
    """One host in one run. `seconds` sums the durations of the `fetched` fetches that settled a URL."""

    fetched: int = 0
    failed: int = 0
    seconds: float = 0.0


class Counts(msgspec.Struct):
    """What one run did, or one of its processes since its last report. `responses`: URLs by the class of the status of
    their last fetch."""

    urls: int = 0
    pages: int = 0
    bytes: int = 0
    queued: int = 0
    settled: int = 0
    errors: dict[str, int] = {}
    responses: dict[str, int] = {}
    hosts: dict[str, HostStats] = {}

    def add(self, settled: Iterable[Settled]) -> None:
        """Count what settled in one step."""
        for end in settled:
            self.settled += 1
            failed = end.reason not in ("ok", "redirect")
            if failed:
                self.errors[end.reason] = self.errors.get(end.reason, 0) + 1
            if end.attempts:
                self.urls += 1
                if end.status:
                    kind = STATUS_CLASSES[end.status // 100 % 10]
                    self.responses[kind] = self.responses.get(kind, 0) + 1
                host = self._host(host_of(end.url))
                host.fetched += 1
                host.failed += failed
                host.seconds += end.seconds
            if end.part:
                self.pages += 1
                self.bytes += end.size

    def merge(self, other: Counts) -> None:
        """Add what another process counted."""
        for key in ("urls", "pages", "bytes", "queued", "settled"):
            setattr(self, key, getattr(self, key) + getattr(other, key))
        for reason, count in other.errors.items():
            self.errors[reason] = self.errors.get(reason, 0) + count
        for kind, count in other.responses.items():
            self.responses[kind] = self.responses.get(kind, 0) + count
        for name, theirs in other.hosts.items():
            ours = self._host(name)
            ours.fetched += theirs.fetched
            ours.failed += theirs.failed
            ours.seconds += theirs.seconds

    def _host(self, name: str) -> HostStats:
        host = self.hosts.get(name)
        if host is None:
            if len(self.hosts) >= MAX_HOSTS:
                name = OTHER_HOSTS
            host = self.hosts.setdefault(name, HostStats())
        return host

    def slowest(self, count: int) -> list[tuple[str, HostStats]]:
        """The hosts with the longest mean fetch, slowest first."""
        return sorted(self.hosts.items(), key=lambda pair: pair[1].seconds / pair[1].fetched, reverse=True)[:count]


class RunStats(Counts):
    """One run: the figures of the progress line and the summary. `lateness` of the heartbeats of all its workers;
    `first_fetch_at` and `last_commit_at` in seconds of the monotonic clock, which all processes share."""

    lateness: Histogram = msgspec.field(default_factory=Histogram)
    first_fetch_at: float | None = None
    last_commit_at: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds from the first fetch to the last commit, 0 before there are both."""
        if self.first_fetch_at is None or self.last_commit_at is None:
            return 0.0
        return self.last_commit_at - self.first_fetch_at

    def widen(self, first_fetch_at: float | None, last_commit_at: float | None) -> None:
        """Include the time in which another process worked."""
        if first_fetch_at is not None:
            self.first_fetch_at = min(self.first_fetch_at or first_fetch_at, first_fetch_at)
        if last_commit_at is not None:
            self.last_commit_at = max(self.last_commit_at or 0.0, last_commit_at)

    def take(self) -> Counts:
        """The counts since the last call; resets them."""
        taken, fresh = Counts(), Counts()
        for key in Counts.__struct_fields__:
            setattr(taken, key, getattr(self, key))
            setattr(self, key, getattr(fresh, key))
        return taken
