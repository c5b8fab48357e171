"""Durable storage of URLs and hosts: the interface of every frontier.

Rules:
- `commit` is one transaction: after any kill a frontier has all of a batch or nothing of it.
- A URL is one permanent row. A settled row names the (part, position) of its page. Only `reopen` changes it, before a
  run, which makes it owed again.
- Times at this interface are Unix time; the recorder converts from the clock of the Crawl.
- Ids grow in the order of admission. Owed links are read host by host, in windows (see crawler/core/hosts/hosts.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from crawler.core.messages import (
    Actions,
    Budget,
    CookieNote,
    HostNote,
    HostScan,
    Link,
    OutboxLink,
    RefillRequest,
    Settled,
    ShardOutput,
)
from crawler.core.reasons import NotFollowed, Pause
from crawler.metrics.counters import Tally
from crawler.storage.frontier.reopened import Reopened
from crawler.storage.frontier.rows import SettledRow


class Batch(msgspec.Struct):
    """What one commit stores, and the queries to answer after it; `outputs` in crawls of several shards."""

    queued: list[Link] = msgspec.field(default_factory=list)
    settled: list[Settled] = msgspec.field(default_factory=list)
    retries: list[Link] = msgspec.field(default_factory=list)
    notes: list[HostNote] = msgspec.field(default_factory=list)
    budgets: list[Budget] = msgspec.field(default_factory=list)
    beyond: list[Link] = msgspec.field(default_factory=list)
    pauses: list[Pause] = msgspec.field(default_factory=list)
    cookies: dict[str, CookieNote] = msgspec.field(default_factory=dict)
    cookies_dropped: int = 0
    undetermined: list[Link] = msgspec.field(default_factory=list)
    refill_requests: list[RefillRequest] = msgspec.field(default_factory=list)
    search: HostScan | None = None
    outputs: list[ShardOutput] = msgspec.field(default_factory=list)
    not_followed: dict[NotFollowed, int] = msgspec.field(default_factory=dict)

    def add(self, actions: Actions) -> None:
        """Add the decisions of one step."""
        self.queued += actions.queued
        self.undetermined += actions.undetermined
        self.settled += actions.settled
        self.retries += actions.retries
        self.notes += actions.notes
        self.budgets += actions.budgets
        self.beyond += actions.beyond
        self.pauses += actions.pauses
        self.cookies.update((note.home, note) for note in actions.cookies)
        self.cookies_dropped += actions.cookies_dropped
        self.refill_requests += actions.refill_requests
        self.search = actions.search or self.search
        if actions.output:
            self.outputs.append(actions.output)
        for kind, count in actions.not_followed.items():
            self.not_followed[kind] = self.not_followed.get(kind, 0) + count

    @property
    def transferred(self) -> list[int]:
        """Ids of links that now belong to another shard."""
        return [key for output in self.outputs for key in output.transferred]

    @property
    def handed(self) -> list[str]:
        """URLs beyond the depth limit that another shard stores now."""
        return [url for output in self.outputs for url in output.handed]

    @property
    def foreign(self) -> list[OutboxLink]:
        """Links to send to other shards."""
        return [foreign for output in self.outputs for foreign in output.foreign]

    @property
    def acknowledged(self) -> list[int]:
        """Sequence numbers of links that another shard has acknowledged."""
        return [seq for output in self.outputs for seq in output.acknowledged]


def empty(step: Batch | Actions) -> bool:
    """Whether a frontier has nothing to store or answer for it."""
    asks = step.refill_requests or step.search is not None
    kept = step.queued or step.settled or step.undetermined or step.retries or step.notes or step.pauses
    counted = step.beyond or step.not_followed
    sent = step.output if isinstance(step, Actions) else step.outputs
    return not (kept or counted or step.budgets or step.cookies or asks or sent)


class Left(msgspec.Struct, frozen=True):
    """Figures of the owed links for a resume: how many are `seeds` or redirect targets of seeds; how many wait for a
    retry (`retries`) on which hosts (`retried`); the hosts that `joined` the scope."""

    seeds: int
    retries: int
    retried: tuple[str, ...]
    joined: tuple[str, ...]


class FrontierReader(Protocol):
    """The URLs of one shard or of all, to read. Methods raise StorageError where the disk or the file fails."""

    def owed(self) -> Iterator[Link]:
        """The links admitted and not settled, oldest first."""

    def count(self) -> int:
        """How many URLs were ever admitted."""

    def urls(self) -> Iterator[str]:
        """Every URL ever admitted."""

    def notes(self) -> Iterator[HostNote]:
        """The latest note of every host, in Unix time."""

    def settled(self, by_url: bool = False) -> Iterator[SettledRow]:
        """Every settled URL, in the order they were admitted, or in that of the URLs."""

    def find(self, url: str) -> SettledRow | None:
        """The row of one URL; None where it is not settled."""

    def beyond(self) -> Iterator[Link]:
        """The URLs in scope that the depth limit kept out, without an id, in the order they were found."""

    def named(self, parts: Iterable[str]) -> dict[str, dict[int, str]]:
        """For each of these parts, the positions that settled rows name, with their URLs."""

    def records(self) -> dict[str, int]:
        """The parts that settled rows name, with how many records of each."""

    def tally(self) -> Tally:
        """A copy of the tally."""

    def close(self) -> None:
        """Close the files."""


class Frontier(FrontierReader, Protocol):
    """The URLs of one shard, to read and write."""

    def commit(self, batch: Batch, at: float) -> list[Link]:
        """Store a batch; `at` (Unix time) is the time of its settled URLs. Returns those of its undetermined links that
        were new."""

    def admit_within(self, max_depth: int | None) -> int:
        """Before a run: admit the URLs beyond the limit of earlier runs that are within this one; None: all of them.
        Returns how many."""

    def reopen(self, words: frozenset[str]) -> Reopened:
        """Make the settled URLs that these words select (see crawler/core/reopening.py) owed again, in one transaction,
        as if they had never been fetched. Their pages are no longer named."""

    def pending(self, host: str, after: int, count: int) -> list[Link]:
        """At most `count` owed links of a host without an attempt, oldest first, with ids greater than `after`."""

    def retried(self, host: str) -> list[Link]:
        """The links of a host that wait for a retry."""

    def hosts(self, after: str, count: int) -> list[str]:
        """At most `count` hosts with owed links, in an order of its own, from the one after `after` ("": the first)."""

    def left(self) -> Left:
        """The figures of the owed links that a resume needs."""

    def note(self, host: str) -> HostNote | None:
        """The latest note of a host, in Unix time."""

    def budgets(self, host: str) -> tuple[Budget, ...]:
        """The budgets of a host, one for each pattern."""

    def outbox(self) -> Iterator[OutboxLink]:
        """The unacknowledged links to other shards, in the order they were sent."""

    def cookies(self) -> Iterator[CookieNote]:
        """The cookies of every home, in Unix time."""

    def next_id(self) -> int:
        """The first id that no link has."""
