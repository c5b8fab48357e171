"""The referee: judges a crawler only by the log of the server.

- A request is identified by (URL, attempt). The same one twice is a duplicate, unless a kill excuses it: the first was
  in flight when a process was killed, or had ended so shortly before that it was not yet committed. An answer that is
  no page (5xx, 429, none at all) may be requested again: a fetch uses up no attempt while its host seems to be down.
  robots.txt is counted separately, because a crawl may read it again.
- The rest of a host runs from the end of one request to the arrival of the next: max(delay, its Crawl-delay), but only
  `delay` before robots.txt itself. Server and crawler share one clock, and a fetch ends later for the crawler than for
  the server, so a correct crawler is never too early; `slack` allows for rounding.
- A request that was in flight when a process was killed counts as ended at the kill.
- Rests are judged where one page at a time is allowed (`per_host` 1); with more, only the number at once is.
- A Retry-After applies to the whole host from the end of the answer that carried it. A crawler that was killed within
  `untold` seconds of that end could not commit it; such a breach is excused. Where several pages at a time are allowed,
  a request ordered before that answer was read may arrive just after it (`ON_ITS_WAY`).
- The steady window leaves out the first and the last tenth of the answers. It needs no threshold, so it is meaningful
  in a crawl limited by politeness, too.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from math import inf
from pathlib import Path

import msgspec

from crawler.testweb.document import AnyWeb
from crawler.testweb.log import LogEntry, read_log

ON_ITS_WAY = 0.1


class Breach(msgspec.Struct, frozen=True):
    """A request that came too early: `had` seconds (an overlap: requests in flight) where `required` was the limit."""

    url: str
    at: float
    had: float
    required: float


class Duplicate(msgspec.Struct, frozen=True):
    """One (URL, attempt) that was requested more than once, and when."""

    url: str
    attempt: int
    times: tuple[float, ...]


class HostVerdict(msgspec.Struct, frozen=True):
    """One host: number of requests, smallest gap between two (None: fewer than two) and required gap, in seconds."""

    requests: int
    smallest_gap: float | None
    required_gap: float


class Steady(msgspec.Struct, frozen=True):
    """The steady window: its length in seconds, answers per second in it, requests in flight on average."""

    seconds: float
    throughput: float
    mean_in_flight: float


class AnswerLateness(msgspec.Struct, frozen=True):
    """By how many seconds answers were sent late: the server's own delay, not the crawler's.

    Timers have a resolution of 1 ms, so an answer may be 0.5 ms early.
    """

    p50: float
    p99: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the log proves. `clean`: no breach of any kind. `strangers`: requests for unknown hosts."""

    requests: int
    unique: int
    duplicates: list[Duplicate]
    excused: list[Duplicate]
    robots_repeats: int
    disallowed: list[str]
    closed: list[str]
    strangers: list[str]
    gaps: list[Breach]
    overlaps: list[Breach]
    holds: list[Breach]
    hosts: dict[str, HostVerdict]
    most_in_flight: int
    steady: Steady
    connections: int
    bytes_sent: int
    lateness: AnswerLateness
    clean: bool


def judge(
    log: Path,
    web: AnyWeb,
    delay: float,
    per_host: int = 1,
    *,
    kills: Iterable[float] = (),
    uncommitted: float = 2.0,
    untold: float = 0.1,
    slack: float = 0.002,
    since: float = -inf,
    until: float = inf,
) -> Verdict:
    """Judge the requests of a log that arrived in [since, until). The rest is as in `judge_entries`. Raises OSError,
    msgspec.DecodeError."""
    entries = [entry for entry in read_log(log) if since <= entry.at < until]
    return judge_entries(
        entries, web, delay, per_host, kills=kills, uncommitted=uncommitted, untold=untold, slack=slack
    )


def judge_entries(
    entries: Sequence[LogEntry],
    web: AnyWeb,
    delay: float,
    per_host: int = 1,
    *,
    kills: Iterable[float] = (),
    uncommitted: float = 2.0,
    untold: float = 0.1,
    slack: float = 0.002,
) -> Verdict:
    """Judge these requests, sorted by arrival.

    All times are on the machine's monotonic clock, in seconds. A request may be repeated if it ended at most
    `uncommitted` seconds before one of `kills`.
    """
    known = [entry for entry in entries if entry.host in web.names]
    pages = [entry for entry in known if not web.is_robots(entry.host, entry.path)]
    kills = sorted(kills)
    duplicates, excused = _repeated(pages, kills, uncommitted)
    watches: dict[str, _Watch] = {}
    for entry in known:
        if entry.host not in watches:
            watches[entry.host] = _Watch(web, entry.host, delay, per_host, slack)
        watches[entry.host].see(_as_asked(entry, kills))
    closed = [_url(entry) for entry in pages if web.closed(entry.host)]
    disallowed = [_url(entry) for entry in pages if not web.allowed(entry.host, entry.path)]
    strangers = [_url(entry) for entry in entries if entry.host not in web.names]
    gaps = [breach for watch in watches.values() for breach in watch.gaps]
    overlaps = [breach for watch in watches.values() for breach in watch.overlaps]
    holds = [
        breach
        for watch in watches.values()
        for breach in watch.holds
        if not any(0 <= kill - (breach.at - breach.had) <= untold for kill in kills)
    ]
    most, steady = _flow(entries)
    return Verdict(
        requests=len(entries),
        unique=len({(entry.host, entry.path, entry.attempt) for entry in entries}),
        duplicates=duplicates,
        excused=excused,
        robots_repeats=len(known) - len(pages) - len({_key(e) for e in known} - {_key(e) for e in pages}),
        disallowed=disallowed,
        closed=closed,
        strangers=strangers,
        gaps=gaps,
        overlaps=overlaps,
        holds=holds,
        hosts={host: watch.verdict() for host, watch in watches.items()},
        most_in_flight=most,
        steady=steady,
        connections=len({entry.connection for entry in entries}),
        bytes_sent=sum(entry.sent for entry in entries),
        lateness=_lateness(entries),
        clean=not (duplicates or disallowed or closed or strangers or gaps or overlaps or holds),
    )


class _Watch:
    """Checks the requests of one host, in order of arrival."""

    def __init__(self, web: AnyWeb, host: str, delay: float, per_host: int, slack: float) -> None:
        self._web, self._host, self._delay, self._per_host, self._slack = web, host, delay, per_host, slack
        self._required = max(delay, web.crawl_delay(host))
        self._running: list[tuple[float, float]] = []  # (end, hold) of requests in flight, a heap
        self._rested_from = self._held_until = self._held_from = -inf
        self._requests = 0
        self._smallest = inf
        self.gaps: list[Breach] = []
        self.overlaps: list[Breach] = []
        self.holds: list[Breach] = []

    def see(self, entry: LogEntry) -> None:
        """Judge the next arrival."""
        self._requests += 1
        while self._running and self._running[0][0] <= entry.at:
            end, hold = heapq.heappop(self._running)
            self._rested_from = end
            if hold and end + hold > self._held_until:
                self._held_from, self._held_until = end, end + hold
        on_its_way = self._per_host > 1 and entry.at - self._held_from < ON_ITS_WAY
        if entry.at < self._held_until - self._slack and not on_its_way:
            had, required = entry.at - self._held_from, self._held_until - self._held_from
            self.holds.append(Breach(_url(entry), entry.at, had, required))
        if len(self._running) >= self._per_host:
            self.overlaps.append(Breach(_url(entry), entry.at, len(self._running) + 1, self._per_host))
        elif self._per_host == 1 and self._rested_from > -inf:
            gap = entry.at - self._rested_from
            required = self._delay if self._web.is_robots(self._host, entry.path) else self._required
            self._smallest = min(self._smallest, gap)
            if gap < required - self._slack:
                self.gaps.append(Breach(_url(entry), entry.at, gap, required))
        heapq.heappush(self._running, (entry.end, entry.hold))

    def verdict(self) -> HostVerdict:
        """The summary of the host."""
        smallest = None if self._smallest == inf else self._smallest
        return HostVerdict(requests=self._requests, smallest_gap=smallest, required_gap=self._required)


def _repeated(
    pages: Sequence[LogEntry], kills: Sequence[float], uncommitted: float
) -> tuple[list[Duplicate], list[Duplicate]]:
    """The duplicates that are breaches, and those that a kill excuses."""
    asked: defaultdict[tuple[str, int], list[LogEntry]] = defaultdict(list)
    for entry in pages:
        if entry.status and entry.status != 429 and entry.status < 500:
            asked[_key(entry)].append(entry)

    def killed_between(first: LogEntry, second: LogEntry) -> bool:
        after = bisect_left(kills, first.at)
        return after < len(kills) and kills[after] <= second.at and first.end >= kills[after] - uncommitted

    duplicates: list[Duplicate] = []
    excused: list[Duplicate] = []
    for (url, attempt), entries in asked.items():
        if len(entries) > 1:
            fine = all(killed_between(first, second) for first, second in pairwise(entries))
            duplicate = Duplicate(url, attempt, tuple(entry.at for entry in entries))
            (excused if fine else duplicates).append(duplicate)
    return duplicates, excused


def _as_asked(entry: LogEntry, kills: Sequence[float]) -> LogEntry:
    """The request as its client saw it: a server may receive it, and go on answering, after the client was killed."""
    after = bisect_left(kills, entry.at - ON_ITS_WAY)
    if after < len(kills) and kills[after] < entry.end:
        return msgspec.structs.replace(entry, end=kills[after])
    return entry


def _flow(entries: Sequence[LogEntry]) -> tuple[int, Steady]:
    """The most requests in flight, and the steady window."""
    ends = sorted(entry.end for entry in entries)
    changes = sorted([(end, -1) for end in ends] + [(entry.at, 1) for entry in entries])
    most = max(accumulate(change for _, change in changes), default=0)
    edge = len(ends) // 10
    if len(ends) < 3 or ends[edge] == ends[-1 - edge]:
        return most, Steady(0.0, 0.0, 0.0)
    begin, end = ends[edge], ends[-1 - edge]
    busy = sum(max(0.0, min(entry.end, end) - max(entry.at, begin)) for entry in entries)
    answered = len(ends) - 1 - 2 * edge
    return most, Steady(end - begin, answered / (end - begin), busy / (end - begin))


def _lateness(entries: Iterable[LogEntry]) -> AnswerLateness:
    late = sorted(entry.late for entry in entries if entry.status)
    return AnswerLateness(*(late[int(share * (len(late) - 1))] if late else 0.0 for share in (0.50, 0.99)))


def _url(entry: LogEntry) -> str:
    return f"{entry.scheme}://{entry.host}{entry.path}"


def _key(entry: LogEntry) -> tuple[str, int]:
    return _url(entry), entry.attempt
