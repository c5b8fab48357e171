"""Whole crawls on a virtual clock: a random small web, workers that may stop answering, and the invariants of the
Crawl.

`Simulation(seed).run()` plays one crawl from the seeds to its ending, killing and resuming it on the way, and checks
the invariants after every step. No socket, no thread, no real time: 300 of them take seconds.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from msgspec.structs import replace

from crawler.core.bounds import Bounds
from crawler.core.crawl import REFUSALS, Crawl
from crawler.core.hosts.hosts import FEWEST
from crawler.core.messages import Actions, Discovered, Event, Failed, Fetch, Fetched, Stop
from crawler.core.page.robots import Robots
from crawler.core.reasons import Ending, FetchErrorKind, Reason
from crawler.core.rules import Rules
from crawler.core.traps.detector import TOLD
from crawler.core.urls.canonical import host_of
from crawler.core.urls.scope import Scope
from crawler.runtime.recorder import resumption
from crawler.storage.frontier.answers import answers
from crawler.storage.frontier.base import Batch
from crawler.storage.frontier.memory import MemoryFrontier

CRAWL_SEED = 7
AGENT = "sim"
MANY = 1_000_000_000
STRANGER = "http://stranger.test"
BLOCKED = 0  # a status that no server sends: the guard blocks the URL


@dataclass
class SimHost:
    """One host of the simulated web: the answers of its robots.txt in order (the last one repeats), and its pages."""

    name: str
    robots: list[tuple[int, str]]
    pages: dict[str, list[Fetched | Failed]]
    delay: float = 0.0
    slow_name: bool = False


@dataclass
class Watched:
    """What an observer has seen of one host."""

    in_flight: int = 0
    last_end: float = -1e9
    not_before: float = -1e9
    robots_read: bool = False
    robots_read_at: float = 0.0
    in_doubt: bool = False
    last_new: int = 0


@dataclass
class Simulation:
    """One crawl. `dice` decides everything, so a failing seed can be replayed. On `large` sites, whose pages are all
    similar, budgets are reached."""

    seed: int
    large: bool = False
    depths: tuple[int | None, ...] = ()
    """The depth limits of the runs in order, the last one repeats; empty: chosen by the dice."""
    grows: bool = False
    """When a run ends for the first time, whatever its ending, the next one is given more seeds of the same hosts."""
    steps: int = 0
    now: float = 1000.0
    lost_leases: int = 0
    resumes: int = 0
    answers: int = 0
    endings: list[Ending] = field(default_factory=list)
    away: tuple[float, float] = (0.0, 0.0)
    spoiled: int = 0
    back_at: float = 0.0
    first_answer_at: float = inf

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        dice = self.dice
        self.rules = Rules(
            user_agent=AGENT,
            delay=dice.choice([0.0, 0.0, 0.1, 1.0]),
            per_host=dice.choice([1, 2, 8]),
            robots=dice.random() < 0.8,
            backoff=dice.choice([0.01, 1.0]),
            robots_backoff=dice.choice([0.01, 1.0]),
            breaker_failures=dice.choice([3, 20]),
            breaker_rest=dice.choice([0.1, 5.0]),
            host_patience=dice.choice([0.0, 5.0, 60.0, 600.0]),
            max_hold=dice.choice([50.0, 21_600.0]),
            max_redirects=dice.choice([0, 1, 10]),
            max_pages=dice.choice([None, None, None, 15]),
            max_bytes=dice.choice([None, None, None, None, 60]),
            max_depth=dice.choice([None, None, 3]),
            lease=30.0,
            grace=3.0,
            outage_wait=dice.choice([0.0, 20.0]),
        )
        self.bounds = dice.choice([Bounds(), Bounds(hosts=2, links=8, marks=10), Bounds(hosts=1, links=1, marks=0)])
        self.hosts = {f"http://h{n}.test": self._make_host(f"http://h{n}.test") for n in range(dice.randint(1, 6))}
        self.seeds = tuple(f"{name}/" for name in list(self.hosts)[: dice.randint(1, len(self.hosts))])
        self.hosts[STRANGER] = self._make_host(STRANGER)
        self._link_pages()
        self.frontier = MemoryFrontier()
        self.asked: dict[str, int] = {}
        self.ids_of_leases: set[int] = set()
        self.ids: dict[str, int] = {}
        self.doubts: dict[str, int] = {}
        self.tried: set[int] = set()
        self.watched = {name: Watched() for name in self.hosts}
        if self.large:
            self.rules = replace(
                self.rules,
                max_host_pages=dice.choice([30, 100_000, 100_000]),
                pattern_pages=400,
                max_path_segments=dice.choice([1, 20, 20]),
                max_pages=None,
                max_bytes=None,
                breaker_failures=100,
                host_patience=600.0,
                max_hold=21_600.0,
            )
        self.deepest = self.rules.max_depth
        if self.depths:
            self.rules = replace(self.rules, max_pages=None, max_bytes=None)
            self.deepest = None if None in self.depths else max(filter(None, self.depths), default=0)
        self.room_most = dice.choice([1, 4, 50])
        self.silence = dice.choice([0.01, 0.01, 0.3])

    # ---- the web -----------------------------------------------------------------------------------------------------

    def _make_host(self, name: str) -> SimHost:
        dice = self.dice
        delay = dice.choice([0.0, 0.0, 2.0])
        rules = f"User-agent: *\nDisallow: /no\nCrawl-delay: {delay}\n" if delay else "User-agent: *\nDisallow: /no\n"
        robots = dice.choice(
            [
                [(200, rules)],
                [(404, "")],
                [(503, ""), (503, ""), (200, rules)],
                [(503, "")],
                [(301, ""), (200, rules)],
                [(301, "")],
                [(BLOCKED, "")],
                [(301, ""), (BLOCKED, "")],
            ]
        )
        paths = ["/", *(f"/p{n}" for n in range(dice.randint(0, 12))), "/no/1", "/no/2"]
        if self.large:
            paths += [f"/p{n}" for n in range(20, 440)]
        host = SimHost(name, robots, {path: [] for path in paths})
        host.slow_name = dice.random() < 0.1
        host.delay = delay if any(status == 200 for status, _ in robots) else 0.0
        return host

    def _link_pages(self) -> None:
        urls = [host.name + path for host in self.hosts.values() for path in host.pages]
        for host in self.hosts.values():
            dead = self.dice.random() < 0.15
            for path in host.pages:
                host.pages[path] = (
                    [Failed(0, FetchErrorKind.CONNECT)] if dead else self._answers(urls, host.name + path)
                )
            if dead or self.large:
                host.pages["/"] = [Fetched(0, 200, tuple(host.name + path for path in host.pages), fingerprint=(1, 1))]

    def _answers(self, urls: list[str], own: str) -> list[Fetched | Failed]:
        """The answers of a page to its attempts; the last one repeats."""
        dice = self.dice
        links = tuple(dice.choice(urls) for _ in range(dice.randint(0, 8)))
        good = Fetched(0, 200, links, size=10, digest=b"d" * 16, part="p", position=1, fingerprint=(1, 1))
        kind = dice.random()
        if kind < 0.6:
            return [good]
        if kind < 0.7:
            return [Fetched(0, dice.choice([301, 302, 308]), location=dice.choice([*urls, own, own, "", ""]))]
        if kind < 0.75:
            return [Fetched(0, dice.choice([404, 410, 500, 304]))]
        if kind < 0.85:
            return [Fetched(0, 503, retry_after=dice.choice([None, 0.5, 4.0, 100.0])), good]
        if kind < 0.95:
            return [
                Failed(
                    0,
                    dice.choice(
                        [FetchErrorKind.CONNECT, FetchErrorKind.TIMEOUT, FetchErrorKind.TLS, FetchErrorKind.BLOCKED]
                    ),
                ),
                good,
            ]
        return [Failed(0, FetchErrorKind.CONNECT)]

    def _answer(self, fetch: Fetch) -> Fetched | Failed:
        if self._is_away(self.now):
            self.spoiled += 1
            return Failed(fetch.id, FetchErrorKind.CONNECT)
        self.first_answer_at = min(self.first_answer_at, self.now)
        if self.spoiled and not self.back_at:
            self.back_at = self.now
        host = self.hosts[host_of(fetch.url)]
        path = fetch.url.removeprefix(host.name)
        if host.slow_name and not fetch.wait_for_dns:
            return Failed(fetch.id, FetchErrorKind.DNS_PENDING)
        if fetch.robots:
            count = self.asked.get(host.name, 0)
            self.asked[host.name] = count + 1
            status, text = host.robots[min(count, len(host.robots) - 1)]
            if status == BLOCKED:
                return Failed(fetch.id, FetchErrorKind.BLOCKED)
            return Fetched(
                fetch.id, status, location=f"{host.name}/robots.txt" if status == 301 else "", robots_text=text
            )
        answers = host.pages[path]
        return replace(answers[min(fetch.attempt, len(answers)) - 1], id=fetch.id)

    def _is_away(self, at: float) -> bool:
        return self.away[0] <= at < self.away[1]

    # ---- runs --------------------------------------------------------------------------------------------------------

    def run(self) -> Simulation:
        """Run until the crawl ends by itself; after kills and stops it is resumed from the frontier."""
        while True:
            ending = self._life()
            if ending is not None:
                self.endings.append(ending)
            if not self.grow() and ending in (Ending.COMPLETE, Ending.LIMIT):
                break
            self.resumes += 1
            self.now += self.dice.choice([0.1, 10.0])
        assert ending is not None
        self._check_end(ending)
        return self

    def grow(self) -> bool:
        """Add seeds for the next run, if that is still to be done."""
        grows, self.grows = self.grows, False
        if grows:
            pages = [host_of(seed) + path for seed in self.seeds for path in self.hosts[host_of(seed)].pages]
            same = [url for url in pages if not self._redirects(url)]  # to another host, which would join the scope
            self.seeds += tuple(self.dice.sample(same, len(same) // 2))
        return grows

    def _redirects(self, url: str) -> bool:
        answers = self.hosts[host_of(url)].pages[url.removeprefix(host_of(url))]
        return any(isinstance(answer, Fetched) and 300 <= answer.status < 400 for answer in answers)

    def limit_depth(self, frontiers: Sequence[MemoryFrontier]) -> None:
        """Start a run with its own depth limit."""
        if self.depths:
            self.rules = replace(self.rules, max_depth=self.depths[min(self.resumes, len(self.depths) - 1)])
        for frontier in frontiers:
            frontier.admit_within(self.rules.max_depth)

    def _life(self) -> Ending | None:
        self.limit_depth([self.frontier])
        crawl = Crawl(self.rules, Scope(self.rules, self.seeds), CRAWL_SEED, self.bounds)
        coming: list[tuple[float, int, Event]] = []
        leases: dict[int, tuple[str, float]] = {}
        killed_at = self.now + self.dice.uniform(0.5, 60) if self.dice.random() < 0.2 and self.resumes < 3 else None
        if self.dice.random() < 0.1 and self.resumes < 3:
            heapq.heappush(coming, (self.now + self.dice.uniform(0.1, 20), 0, Stop()))
        if self.resumes:
            self._forget_what_was_not_committed()
        events: list[Event] = self._first()
        uncommitted = Batch()
        while True:
            for event in events:
                self._end_of_lease(leases, event, self.now)
            room = (
                max(0, self.dice.randint(0, self.room_most) - len(leases))
                if self.dice.random() < 0.3
                else (max(0, self.room_most - len(leases)))
            )
            expiring = [number for number, (_, at) in leases.items() if at <= self.now]
            actions = crawl.step(events, room=room, now=self.now)
            for number in expiring:
                self._end_of_lease(leases, Failed(number, FetchErrorKind.LEASE_EXPIRED), self.now)
            self.steps += 1
            self._check_step(actions, room, leases, coming)
            self._check_memory(crawl)
            uncommitted.add(actions)
            if self.dice.random() < 0.3 or actions.ending is not None or not (coming or actions.wake_at):
                for answer in answers(self.frontier, uncommitted, self.frontier.commit(uncommitted, self.now), 0.0):
                    self.answers += 1
                    heapq.heappush(coming, (self.now, self.answers - MANY, answer))
                uncommitted = Batch()
            if actions.ending is not None:
                return actions.ending
            if killed_at is not None and self.now >= killed_at:
                return None
            events = self._wait(actions, coming, stuck=room == 0)

    def _forget_what_was_not_committed(self) -> None:
        """A new run knows only the frontier; it must wait the delay before it fetches from any host."""
        self.ids = {link.url: link.id for link in self.frontier.owed()}
        self.doubts |= {link.url: link.doubt for link in self.frontier.owed()}
        self.tried = {link.id for link in self.frontier.owed() if link.attempts}
        noted = {note.host: note for note in self.frontier.notes()}
        if not any(note.heard for note in noted.values()):
            self.first_answer_at = inf
        for name, watched in self.watched.items():
            note = noted.get(name)
            watched.in_flight = 0
            watched.last_new = 0
            watched.last_end = self.now
            watched.robots_read = note is not None and note.robots is not None
            watched.not_before = note.rest_until if note is not None else -1e9

    def _first(self) -> list[Event]:
        events: list[Event] = []
        if self.resumes:
            events.append(resumption(self.frontier, CRAWL_SEED, self.bounds.marks, 0.0))
        return [*events, Discovered(self.seeds)]

    def _wait(self, actions: Actions, coming: list[tuple[float, int, Event]], stuck: bool) -> list[Event]:
        """Move the clock to the next event. Without room, the pump is woken from outside soon."""
        times = [at for at in (actions.wake_at, coming[0][0] if coming else None) if at is not None]
        if stuck:
            times.append(self.now + 0.2)
        assert times, "nothing in flight, nothing to wait for, and no ending: the crawl would hang"
        at_once = stuck or len(actions.settled) >= REFUSALS
        assert at_once or actions.wake_at is None or actions.wake_at > self.now, "it asks to be woken in the past"
        self.now = max(self.now, min(times))
        events = []
        while coming and coming[0][0] <= self.now:
            events.append(heapq.heappop(coming)[2])
        return events

    # ---- invariants --------------------------------------------------------------------------------------------------

    def _end_of_lease(self, leases: dict[int, tuple[str, float]], event: Event, at: float) -> None:
        if not isinstance(event, Fetched | Failed) or event.id not in leases:
            return
        name, _ = leases.pop(event.id)
        watched = self.watched[name]
        watched.in_flight -= 1
        if not isinstance(event, Failed) or event.kind is not FetchErrorKind.DNS_PENDING:  # then no request was sent
            watched.last_end = at
        watched.in_doubt |= isinstance(event, Failed) or event.status >= 500
        if isinstance(event, Fetched) and event.status in (429, 503) and event.retry_after:
            watched.not_before = max(watched.not_before, at + min(event.retry_after, self.rules.retry_after_cap))

    def _check_step(
        self, actions: Actions, room: int, leases: dict[int, tuple[str, float]], coming: list[tuple[float, int, Event]]
    ) -> None:
        assert len(actions.fetches) <= room
        for link in (*actions.queued, *actions.undetermined):
            self.ids.setdefault(link.url, link.id)
            self.doubts.setdefault(link.url, link.doubt)
        for fetch in actions.fetches:
            assert fetch.id not in self.ids_of_leases or self.resumes, "a lease was given twice"
            self.ids_of_leases.add(fetch.id)
            self._check_fetch(fetch)
            if not fetch.robots:
                self._check_order(fetch)
            leases[fetch.id] = (host_of(fetch.url), self.now + self.rules.lease)
            self._schedule(fetch, coming)

    def _check_fetch(self, fetch: Fetch) -> None:
        name = host_of(fetch.url)
        host, watched = self.hosts[name], self.watched[name]
        if fetch.robots:
            assert self.rules.robots
            assert watched.in_flight == 0 or watched.in_doubt, "robots.txt was not fetched alone"
            known_until = watched.robots_read_at + self.rules.robots_ttl * watched.robots_read
            needless = not watched.in_doubt and (301, "") not in host.robots
            assert self.now >= known_until or not needless, "robots.txt was fetched twice"
        elif self.rules.robots:
            assert watched.robots_read, "a page was fetched before robots.txt was read"
            text = next((text for status, text in host.robots if status == 200), "")
            never_read = all(status == 503 for status, _ in host.robots)
            assert not never_read, "a page of a host whose robots.txt is unavailable was fetched"
            assert Robots(text, AGENT).allows(fetch.url), "a forbidden page was fetched"
        delay = self.rules.delay if not self.rules.robots else max(self.rules.delay, host.delay * watched.robots_read)
        assert self.now >= watched.last_end + delay - 1e-9, "fetched too early after the last fetch"
        assert self.now >= watched.not_before - 1e-9, "Retry-After was not honoured"
        assert watched.in_flight < (1 if delay else self.rules.per_host), "too many fetches at once from one host"
        watched.in_flight += 1

    def _schedule(self, fetch: Fetch, coming: list[tuple[float, int, Event]]) -> None:
        dice = self.dice
        name = host_of(fetch.url)
        if dice.random() < self.silence:
            self.lost_leases += 1
            if dice.random() < 0.5:  # the answer comes after the lease has expired
                late = self.now + self.rules.lease + dice.uniform(0, 20)
                heapq.heappush(coming, (late, fetch.id, self._answer(fetch)))
            return
        answer = self._answer(fetch)
        at = self.now + dice.choice([0.0, 0.01, 0.3, 5.0])
        if self._is_away(at) and isinstance(answer, Fetched):  # the connection stays open without an answer
            at, answer = at + 20.0, Failed(fetch.id, FetchErrorKind.TIMEOUT, "first byte")
        if fetch.robots and isinstance(answer, Fetched):
            if answer.status == 200 or 400 <= answer.status < 500:
                self._robots_read(name)
            if self.asked[name] > self.rules.robots_redirects and self.hosts[name].robots == [(301, "")]:
                self._robots_read(name)  # RFC 9309 2.3.1.2: endless redirects count as a missing file
        heapq.heappush(coming, (at, fetch.id, answer))
        if dice.random() < 0.05:
            heapq.heappush(coming, (at + dice.uniform(0, 1), fetch.id, answer))

    def _robots_read(self, name: str) -> None:
        self.watched[name].robots_read = True
        self.watched[name].robots_read_at = self.now

    def _check_order(self, fetch: Fetch) -> None:
        number = self.ids[fetch.url]
        if number not in self.tried:
            self.tried.add(number)
            watched = self.watched[host_of(fetch.url)]
            if not self.doubts.get(fetch.url):  # the others are fetched after all better ones
                assert number > watched.last_new, "a link overtook an older one of its host"
                watched.last_new = number

    def _check_memory(self, crawl: Crawl) -> None:
        hosts = list(crawl._hosts)
        room = self.bounds.links + FEWEST * len(hosts)
        assert sum(len(host.queue) for host in hosts) <= room, "more links in memory than the bound allows"
        if not self.resumes:
            assert len(hosts) <= self.bounds.hosts, "more hosts in memory than the bound allows"

    def _check_end(self, ending: Ending) -> None:
        rows = list(self.frontier.settled())
        urls = list(self.frontier.urls())
        assert len(urls) == len(set(urls)), "a URL was admitted twice"
        assert len(rows) == len({row.url for row in rows}), "a URL was settled twice"
        assert {row.url for row in rows} <= set(urls), "a URL was settled that was never admitted"
        in_scope = {host_of(seed) for seed in self.seeds} | {note.host for note in self.frontier.notes() if note.joined}
        assert {host_of(url) for url in urls} <= in_scope, "a foreign URL was admitted"
        if ending is Ending.COMPLETE:
            assert len(rows) == len(urls), "the crawl is complete but owes URLs"
            assert set(self.seeds) <= set(urls), "a seed was not admitted"
        else:
            assert self.rules.max_pages is not None or self.rules.max_bytes is not None
        if self.rules.max_pages is not None and not self.resumes:
            assert self.frontier.tally().urls <= self.rules.max_pages, "the page budget was exceeded"
        if self.deepest is not None:
            assert all(row.depth <= self.deepest for row in rows)
        self.check_beyond([self.frontier], in_scope)
        asked = Counter(host_of(row.url) for row in rows if row.attempts)
        forgiven = self.resumes * TOLD
        assert max(asked.values(), default=0) <= self.rules.max_host_pages + forgiven, "a host's budget was exceeded"
        for row in rows:
            assert (row.attempts > 0) or row.reason in UNASKED, f"{row.reason} without a fetch"
            assert row.attempts <= self.rules.attempts

    def check_beyond(self, frontiers: Sequence[MemoryFrontier], in_scope: set[str]) -> int:
        """URLs in scope that pages link to and that were not admitted are those that the frontiers have beyond the
        limit."""
        admitted = {url for frontier in frontiers for url in frontier.urls()}
        expected: dict[str, int] = {}
        for row in (row for frontier in frontiers for row in frontier.settled()):
            name = host_of(row.url)
            landed = self.hosts[name].pages[row.url.removeprefix(name)]
            answer = landed[min(row.attempts, len(landed)) - 1]
            if row.reason is Reason.OK and isinstance(answer, Fetched):
                for url in answer.links:
                    if host_of(url) in in_scope and url not in admitted:
                        expected[url] = min(row.depth + 1, expected.get(url, MANY))
        found = [(link.url, link.depth) for frontier in frontiers for link in frontier.beyond()]
        assert sorted(found) == sorted(expected.items()), "the frontiers do not have the URLs beyond the depth limit"
        assert sum(frontier.tally().too_deep for frontier in frontiers) == len(expected)
        assert self.rules.max_depth is not None or not expected
        return len(expected)


UNASKED = {
    *(Reason.ROBOTS, Reason.ROBOTS_UNAVAILABLE, Reason.HOST_DOWN, Reason.HELD, Reason.POISON, Reason.BLOCKED),
    *(Reason.DEEP_PATH, Reason.REPEATED_PAGES, Reason.SAME_PAGES, Reason.ENDLESS, Reason.HOST_LIMIT),
}
