"""A frontier in memory: for tests and for programs that want pages and no directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from itertools import islice

from msgspec.structs import replace

from crawler.core.messages import Budget, CookieNote, HostNote, Link, OutboxLink, Settled
from crawler.core.urls.canonical import host_of
from crawler.metrics.counters import Tally
from crawler.storage.frontier.base import Batch, Left
from crawler.storage.frontier.reopened import Reopened
from crawler.storage.frontier.rows import SettledRow


class MemoryFrontier:
    """A Frontier with the behaviour of SqliteFrontier, in dictionaries."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        self._ends: dict[int, tuple[Settled, float]] = {}
        self._notes: dict[str, HostNote] = {}
        self._budgets: dict[str, dict[int, Budget]] = {}
        self._outbox: dict[int, OutboxLink] = {}
        self._cookies: dict[str, CookieNote] = {}
        self._beyond: dict[str, Link] = {}
        self._tally = Tally()
        self._ids: dict[str, int] = {}
        self._owed: dict[str, dict[int, None]] = {}  # by host, oldest first

    def commit(self, batch: Batch, at: float) -> list[Link]:
        """Store a batch."""
        for link in batch.queued:
            self._admit(link)
        new = [link for link in batch.undetermined if link.url not in self._ids and self._admit(link)]
        too_deep = self._keep_beyond(batch, new)
        for link in batch.retries:
            self._links[link.id] = link
        for key in batch.transferred:
            link = self._links.pop(key)
            del self._ids[link.url]
            self._let_go(key, link.url)
        self._outbox.update((foreign.seq, foreign) for foreign in batch.foreign)
        for seq in batch.acknowledged:
            self._outbox.pop(seq, None)
        for end in batch.settled:
            self._ends[end.id] = (end, at)
            self._let_go(end.id, end.url)
        for budget in batch.budgets:
            self._budgets.setdefault(budget.host, {})[budget.pattern] = budget
        for note in batch.notes:
            known = self._notes.get(note.host)
            if known is not None:
                note = replace(note, robots=known.robots if note.robots is None else note.robots)
                note = replace(note, joined=note.joined or known.joined, heard=note.heard or known.heard)
            self._notes[note.host] = note
        self._cookies.update(batch.cookies)
        gained = len(batch.queued) + len(new) - len(batch.transferred)
        self._tally.add(
            gained,
            batch.settled,
            len(batch.retries),
            too_deep,
            batch.cookies_dropped,
            batch.pauses,
            batch.not_followed,
        )
        return new

    def _admit(self, link: Link) -> bool:
        self._links[link.id] = link
        self._ids[link.url] = link.id
        self._owed.setdefault(host_of(link.url), {})[link.id] = None
        return True

    def _keep_beyond(self, batch: Batch, new: list[Link]) -> int:
        before = len(self._beyond)
        for link in batch.beyond:
            known = self._beyond.get(link.url)
            if link.url not in self._ids and (known is None or link.depth < known.depth):
                self._beyond[link.url] = replace(link, id=0)
        for url in (*(link.url for link in (*batch.queued, *new)), *batch.handed):
            self._beyond.pop(url, None)
        return len(self._beyond) - before

    def admit_within(self, max_depth: int | None) -> int:
        """Admit what is within the limit."""
        within = [link for link in self._beyond.values() if max_depth is None or link.depth <= max_depth]
        for link in within:
            self._admit(replace(self._beyond.pop(link.url), id=self.next_id()))
        self._tally.add(len(within), (), 0, -len(within), 0)
        return len(within)

    def beyond(self) -> Iterator[Link]:
        """The URLs beyond the depth limit."""
        return iter(self._beyond.values())

    def _let_go(self, key: int, url: str) -> None:
        host = host_of(url)
        owed = self._owed[host]
        owed.pop(key, None)
        if not owed:
            del self._owed[host]

    def reopen(self, words: frozenset[str]) -> Reopened:
        """Make the selected URLs owed again."""
        found = Reopened()
        self._tally.take_back(filter(None, [found.take(words, row) for row in self.settled()]))
        for key in found.ids:
            link = self._links[key] = replace(self._links[key], attempts=0, status=0, lost=0)
            del self._ends[key]
            owed = self._owed.pop(host_of(link.url), {})
            self._owed[host_of(link.url)] = dict.fromkeys(sorted([*owed, key]))
        for host in found.hosts & self._notes.keys():
            self._notes[host] = replace(self._notes[host], down_for=0.0)
        for host in found.forbidden & self._notes.keys():
            self._notes[host] = replace(self._notes[host], robots_until=0.0)
        for host in found.asked.keys() | found.restarted:
            relieved = filter(None, map(found.relieve, self.budgets(host)))
            self._budgets[host] = {budget.pattern: budget for budget in relieved}
        return found

    def owed(self) -> Iterator[Link]:
        """The links not settled."""
        return (link for key, link in sorted(self._links.items()) if key not in self._ends)

    def pending(self, host: str, after: int, count: int) -> list[Link]:
        """A window of the links of a host."""
        links = (self._links[number] for number in self._owed.get(host, ()) if number > after)
        return list(islice((link for link in links if not link.attempts), count))

    def retried(self, host: str) -> list[Link]:
        """The links of a host that wait for a retry."""
        links = (self._links[number] for number in self._owed.get(host, ()))
        return [link for link in links if link.attempts]

    def hosts(self, after: str, count: int) -> list[str]:
        """Hosts with owed links, by name."""
        return sorted(host for host in self._owed if host > after)[:count]

    def left(self) -> Left:
        """The figures that a resume needs."""
        retried = [link for link in self.owed() if link.attempts]
        return Left(
            seeds=sum(link.depth == 0 for link in self.owed()),
            retries=len(retried),
            retried=tuple(dict.fromkeys(host_of(link.url) for link in retried)),
            joined=tuple(note.host for note in self._notes.values() if note.joined),
        )

    def count(self) -> int:
        """How many URLs there are."""
        return len(self._links)

    def urls(self) -> Iterator[str]:
        """Every URL."""
        return (link.url for link in self._links.values())

    def outbox(self) -> Iterator[OutboxLink]:
        """The unacknowledged links to other shards."""
        return (foreign for _, foreign in sorted(self._outbox.items()))

    def notes(self) -> Iterator[HostNote]:
        """The latest notes."""
        return iter(self._notes.values())

    def note(self, host: str) -> HostNote | None:
        """The latest note of a host."""
        return self._notes.get(host)

    def budgets(self, host: str) -> tuple[Budget, ...]:
        """The budgets of a host."""
        return tuple(self._budgets.get(host, {}).values())

    def settled(self, by_url: bool = False) -> Iterator[SettledRow]:
        """Every settled URL."""
        keys = sorted(self._ends, key=lambda key: self._links[key].url) if by_url else sorted(self._ends)
        return map(self._row, keys)

    def find(self, url: str) -> SettledRow | None:
        """The row of one URL."""
        key = self._ids.get(url)
        return self._row(key) if key in self._ends else None

    def _row(self, key: int) -> SettledRow:
        end, at = self._ends[key]
        return row_of(end, self._links[key].depth, at)

    def named(self, parts: Iterable[str]) -> dict[str, dict[int, str]]:
        """Positions that settled rows name, by part."""
        named: dict[str, dict[int, str]] = {part: {} for part in parts}
        for end, _ in self._ends.values():
            if end.part in named:
                named[end.part][end.position] = end.url
        return named

    def records(self) -> dict[str, int]:
        """The parts that settled rows name, with their numbers of records."""
        return dict(Counter(end.part for end, _ in self._ends.values() if end.part))

    def tally(self) -> Tally:
        """A copy of the counts."""
        return deepcopy(self._tally)

    def cookies(self) -> Iterator[CookieNote]:
        """The cookies of every home."""
        return (note for note in self._cookies.values() if note.cookies)

    def next_id(self) -> int:
        """The first free id."""
        return max(self._links, default=0) + 1

    def close(self) -> None:
        """Nothing to close."""


def row_of(end: Settled, depth: int, at: float) -> SettledRow:
    """The SettledRow of a Settled message."""
    return SettledRow(
        id=end.id,
        url=end.url,
        depth=depth,
        reason=end.reason,
        status=end.status,
        attempts=end.attempts,
        part=end.part,
        position=end.position,
        size=end.size,
        digest=end.digest,
        truncated=end.truncated,
        content_type=end.content_type,
        settled_at=at,
        seconds=end.seconds,
        detail=end.detail,
        cut=end.cut,
        unread=end.unread or "",
    )
