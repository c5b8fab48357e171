"""Crawls of several shards on a virtual clock: one random web, shards that are killed and restarted, one coordinator.

As `Simulation`, whose web it plays on: after every step the invariants of politeness are checked over all shards
together, and at the end that every URL was settled once, by one of them, whatever was killed on the way.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from dataclasses import dataclass, field

from msgspec.structs import replace

from crawler.core.messages import (
    Acknowledged,
    Actions,
    Discovered,
    Event,
    Failed,
    Fetch,
    Fetched,
    HostPlacement,
    LinksReceived,
    LiveLimits,
    ShardOutput,
    Stop,
)
from crawler.core.reasons import FetchErrorKind, Reason
from crawler.core.rules import Rules
from crawler.core.shards.coordinator import DomainQuotaWanted, Outgoing, Posted, ShardCoordinator, Status
from crawler.core.shards.shard import Shard
from crawler.core.shards.sharded import ShardedCrawl
from crawler.core.traps.domain_limits import HOME
from crawler.core.urls.canonical import host_of
from crawler.core.urls.scope import Scope
from crawler.runtime.recorder import resumption
from crawler.storage.frontier.answers import answers
from crawler.storage.frontier.base import Batch, empty
from crawler.storage.frontier.memory import MemoryFrontier
from crawler.storage.frontier.rows import SettledRow
from tests.sim.simulation import CRAWL_SEED, MANY, Simulation

LINE = 0.02
"""The most seconds that a message takes from one shard to another."""
TELLING = 0.1
"""The most seconds from an answer until every shard knows its consequences: a commit and a message."""


@dataclass
class Life:
    """One shard while its process runs."""

    index: int
    crawl: ShardedCrawl
    inbox: deque[tuple[float, Event]] = field(default_factory=deque)
    coming: list[tuple[float, int, Event]] = field(default_factory=list)
    leases: dict[int, tuple[str, float]] = field(default_factory=dict)
    unsaid: list[ShardOutput] = field(default_factory=list)
    uncommitted: Batch = field(default_factory=Batch)
    read: int = 0
    wake_at: float | None = 0.0
    ended: bool = False


class ShardedSimulation:
    """One crawl of `count` shards. `dice` decides everything, so a failing seed can be replayed."""

    def __init__(
        self,
        seed: int,
        depths: tuple[int | None, ...] = (),
        grows: bool = False,
        limited: bool = False,
        domain_pages: int | None = None,
    ) -> None:
        self.web = Simulation(seed, depths=depths, grows=grows)
        if domain_pages is not None:  # each host is a domain
            self.web.rules = replace(self.web.rules, max_domain_pages=domain_pages, max_pages=None, max_bytes=None)
        self.web.silence = 0.01
        self.bounds = self.web.bounds
        self.answers = 0
        self.dice = random.Random(seed + 1_000_000)
        self.count = self.dice.choice([2, 2, 3, 4])
        self.frontiers = [MemoryFrontier() for _ in range(self.count)]
        self.kills = self.steps = self.passed = self.spread = self.gathered = 0
        self.lives: list[Life] = []
        self.beyond = 0
        self.stopping = self.died_at_the_end = False
        self.whole_kills = 0
        self.asked_to_wait: dict[str, float] = {}
        self.limited = limited
        self.limits = self.paused = 0
        self.pause_until: float | None = None

    @property
    def now(self) -> float:
        """The clock of all of them."""
        return self.web.now

    @property
    def rules(self) -> Rules:
        """The rules of the current run."""
        return self.web.rules

    # ---- start and end -----------------------------------------------------------------------------------------------

    def run(self) -> ShardedSimulation:
        """Run to the end; on the way single shards and all shards are killed."""
        while not self._life_of_all() or self.web.grow():
            self.whole_kills += 1
            self.web.resumes += 1
            self.web.now += self.dice.choice([0.1, 10.0])
        self._check_end()
        return self

    def _life_of_all(self) -> bool:
        """From the start of all shards to the end of the crawl (True) or of all shards."""
        self.web.limit_depth(self.frontiers)
        used = sum(self._started(index) for index in range(self.count))
        pages = None if self.rules.max_pages is None else self.rules.max_pages - used
        notes = [note for frontier in self.frontiers for note in frontier.notes()]
        verdicts = tuple(sorted((note for note in notes if note.reach or note.joined), key=lambda note: note.reach))
        self.stopping = False
        self.pause_until = None
        domains: dict[str, int] = {}
        for budget in (budget for frontier in self.frontiers for budget in frontier.budgets(HOME)):
            domains[budget.stopped] = max(budget.pages, domains.get(budget.stopped, 0))
        per_domain = self.rules.max_domain_pages
        self.board = ShardCoordinator(self.count, pages, self.rules.max_bytes, verdicts, per_domain, domains)
        self.lives = [self._start(index) for index in range(self.count)]
        for index in range(self.count):
            self._deliver(self.board.shard_started(index, self._started(index)))
        dies_at = self.now + self.dice.uniform(0.1, 40) if self.dice.random() < 0.3 and self.whole_kills < 3 else None
        while not all(life.ended for life in self.lives):
            if dies_at is not None and self.now >= dies_at:
                for life in self.lives:
                    self._reap(life)
                return False
            if self.dice.random() < 0.004 and self.kills < 5:
                self._kill_one()
            if self.limited:
                self._limit_at_times()
            self._turn()
            if self.board.over and not self.stopping:
                self.stopping = True
                self._deliver([(life.index, Stop()) for life in self.lives])
        return True

    def _limit_at_times(self) -> None:
        """Change the limits now and then; a pause ends after a while, or when nothing else happens."""
        if self.pause_until is not None:
            stuck = all(self._due(life) is None for life in self.lives if not life.ended)
            if stuck or self.now >= self.pause_until:
                self.pause_until = None
                self._deliver(self.board.limit(LiveLimits(delay=self.dice.choice([0.0, 0.3]))))
        elif self.limits < 6 and self.dice.random() < 0.04:
            self.limits += 1
            pause = self.dice.random() < 0.3
            self.paused += pause
            self.pause_until = self.now + 20 if pause else None
            per_host = self.dice.choice([None, None, 1, 4])
            delay = self.dice.choice([0.0, 0.0, 0.5, 3.0])
            self._deliver(self.board.limit(LiveLimits(delay, self.dice.choice([None, 1, 5]), per_host, pause)))

    def _started(self, index: int) -> int:
        frontier = self.frontiers[index]
        return frontier.tally().urls + frontier.left().retries

    def _start(self, index: int) -> Life:
        crawl = ShardedCrawl(
            self.rules, Scope(self.rules, self.web.seeds), CRAWL_SEED, Shard(index, self.count), self.bounds
        )
        life = Life(index, crawl)
        if self.web.resumes or self.kills:
            life.inbox.append((self.now, resumption(self.frontiers[index], CRAWL_SEED, self.bounds.marks, 0.0)))
        life.inbox += [(self.now, verdict) for verdict in self.board.verdicts()]
        life.inbox.append((self.now, Discovered(self.web.seeds)))
        if self.stopping:
            life.inbox.append((self.now, Stop()))
        life.read = -len(life.inbox)
        return life

    def _reap(self, life: Life) -> None:
        """Fetches in flight end now for the hosts, without a result; what was not committed is lost."""
        for name, _ in life.leases.values():
            self.web.watched[name].in_flight -= 1
            self.web.watched[name].last_end = self.now
        noted = {note.host: note for note in self.frontiers[life.index].notes()}
        for name, watched in self.web.watched.items():
            if life.crawl._shard.owner(name) == life.index:
                note = noted.get(name)
                watched.robots_read = note is not None and note.robots is not None
                watched.not_before = note.rest_until if note is not None else -1e9

    def _kill_one(self) -> None:
        alive = [life for life in self.lives if not life.ended]
        if not alive:
            return
        self.kills += 1
        self.died_at_the_end |= self.stopping
        life = self.dice.choice(alive)
        self._reap(life)
        self.lives[life.index] = self._start(life.index)
        self._deliver(self.board.shard_started(life.index, self._started(life.index)))

    # ---- one turn ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Move the clock to the next event; every shard that has something to do makes a step."""
        due = [(self._due(life), life) for life in self.lives if not life.ended]
        times = [at for at, _ in due if at is not None]
        assert times, "all shards wait for each other: the crawl would hang"
        self.web.now = max(self.now, min(times))
        for at, life in due:
            if at is not None and at <= self.now:
                self._step(life)

    def _due(self, life: Life) -> float | None:
        times = [life.wake_at, life.coming[0][0] if life.coming else None, life.inbox[0][0] if life.inbox else None]
        if not empty(life.uncommitted) or life.unsaid:
            times.append(self.now + 0.01)
        return min((at for at in times if at is not None), default=None)

    def _step(self, life: Life) -> None:
        events: list[Event] = []
        while life.coming and life.coming[0][0] <= self.now:
            events.append(heapq.heappop(life.coming)[2])
        while life.inbox and life.inbox[0][0] <= self.now:
            life.read += 1
            events.append(life.inbox.popleft()[1])
        for event in events:
            self._note_wait(life, event)
            self.web._end_of_lease(life.leases, event, self.now)
        room = max(0, self.web.room_most - len(life.leases))
        expiring = [number for number, (_, at) in life.leases.items() if at <= self.now]
        actions = life.crawl.step(events, room=room, now=self.now)
        for number in expiring:
            self.web._end_of_lease(life.leases, Failed(number, FetchErrorKind.LEASE_EXPIRED), self.now)
        self.steps += 1
        self._obey(life, actions, room)

    def _obey(self, life: Life, actions: Actions, room: int) -> None:
        assert len(actions.fetches) <= room
        for fetch in actions.fetches:
            self._check_fetch(fetch)
            life.leases[fetch.id] = (host_of(fetch.url), self.now + self.rules.lease)
            self.web._schedule(fetch, life.coming)
        life.wake_at = actions.wake_at if room else min(actions.wake_at or self.now + 0.2, self.now + 0.2)
        life.uncommitted.add(actions)
        assert actions.output is not None
        if actions.output:
            life.unsaid.append(actions.output)
        self.passed += len(actions.output.transferred)
        for domain in actions.output.domains:
            self._deliver(self.board.grant_domain(life.index, DomainQuotaWanted(domain)))
        life.ended = actions.ending is not None
        if not life.ended:
            self._tell_status(life, actions.output, actions.output.returned)
        if life.ended or self.dice.random() < 0.5:
            self._commit(life)
            if not life.ended:
                self._tell_status(life, actions.output, 0)

    def _commit(self, life: Life) -> None:
        frontier = self.frontiers[life.index]
        for answer in answers(frontier, life.uncommitted, frontier.commit(life.uncommitted, self.now), 0.0):
            self.answers += 1
            heapq.heappush(life.coming, (self.now, self.answers - MANY, answer))
        life.uncommitted = Batch()
        unsaid, life.unsaid = life.unsaid, []
        for output in unsaid:
            for note in output.notes:
                self.spread += note.reach is HostPlacement.SHARED
                self.gathered += note.reach is HostPlacement.RECLAIMED
                self._deliver(self.board.note(life.index, note))
            for foreign in output.foreign:
                self._deliver([self.board.route(Posted(foreign.to, LinksReceived(life.index, (foreign,))))])
            for sender, seq in output.received:
                self._deliver([self.board.route(Posted(sender, Acknowledged((seq,))))])

    def _tell_status(self, life: Life, output: ShardOutput, returned: int) -> None:
        """A shard is idle only after it has sent all its messages."""
        quiet = output.quiet and empty(life.uncommitted) and not life.unsaid
        status = Status(life.read, quiet, output.wants, returned, output.seeds_settled, output.size)
        self._deliver(self.board.update_status(life.index, status))

    def _deliver(self, outgoing: list[Outgoing]) -> None:
        """Messages keep their order; each has its own delay."""
        for to, word in outgoing:
            if to < len(self.lives):
                line = self.lives[to].inbox
                earliest = max(self.now, line[-1][0] if line else 0.0)
                line.append((max(earliest, self.now + self.dice.choice([0.0, LINE / 2])), word))

    # ---- invariants --------------------------------------------------------------------------------------------------

    def _note_wait(self, life: Life, event: Event) -> None:
        if isinstance(event, Fetched) and event.retry_after and event.id in life.leases:
            self.asked_to_wait[life.leases[event.id][0]] = self.now

    def _check_fetch(self, fetch: Fetch) -> None:
        """As for one shard, except for a delay that another shard has just learned of and is announcing."""
        watched = self.web.watched[host_of(fetch.url)]
        asked_at = self.asked_to_wait.get(host_of(fetch.url), -1e9)
        not_before = watched.not_before
        if self.now <= asked_at + TELLING:
            watched.not_before = -1e9
        self.web._check_fetch(fetch)
        watched.not_before = not_before

    def _check_end(self) -> None:
        rows = [row for frontier in self.frontiers for row in frontier.settled()]
        owed = [link.url for frontier in self.frontiers for link in frontier.owed()]
        urls = [url for frontier in self.frontiers for url in frontier.urls()]
        assert len(rows) == len({row.url for row in rows}), "a URL was settled twice"
        limited = self.rules.max_pages is not None or self.rules.max_bytes is not None or self.died_at_the_end
        # if the crawl ends early, a link that one shard took for new may be in transit to the owner, which knows it
        assert limited or len(urls) == len(set(urls)), "a URL is in two shards"
        assert all(len(set(one.urls())) == len(list(one.urls())) for one in self.frontiers), "a shard has a URL twice"
        assert limited or not any(list(one.outbox()) for one in self.frontiers), "a link is never acknowledged"
        assert limited or not owed, "the crawl is complete but owes URLs"
        assert limited or set(self.web.seeds) <= set(urls), "a seed was not admitted"
        if self.rules.max_pages is not None and not (self.kills or self.whole_kills):
            assert sum(frontier.tally().urls for frontier in self.frontiers) <= self.rules.max_pages
        if not limited:
            seeds = {host_of(seed) for seed in self.web.seeds}
            notes = [note for frontier in self.frontiers for note in frontier.notes()]
            self.beyond = self.web.check_beyond(self.frontiers, seeds | {note.host for note in notes if note.joined})
        self._check_domains(rows)
        tallies = [frontier.tally() for frontier in self.frontiers]
        assert sum(tally.queued for tally in tallies) == len(urls), "the counts do not add up"
        assert sum(tally.owed for tally in tallies) == len(owed)

    def _check_domains(self, rows: list[SettledRow]) -> None:
        """No domain was asked for more than its budget, and none was refused a page while it had more than a block."""
        asked = Counter(host_of(row.url) for row in rows if row.attempts)
        refused = Counter(host_of(row.url) for row in rows if row.reason is Reason.DOMAIN_LIMIT)
        self.refused_by_domain = len(refused)
        most = self.rules.max_domain_pages
        if not (self.kills or self.whole_kills):
            assert max(asked.values(), default=0) <= most, "the budget of a domain was exceeded"
            assert all(asked[name] >= most - 2 * self.count for name in refused), "a domain was cut too early"
