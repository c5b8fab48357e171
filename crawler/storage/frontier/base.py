"""The durable memory of URLs: the interface of every frontier.

Rules:
- `commit` is one transaction: after any kill a frontier holds all of a batch or nothing of it.
- A URL is one row for ever. A settled row names the (part, position) of its page. It is changed by `reopen` alone,
  before a run, which makes it owed again.
- Times cross this interface as Unix time; the recorder translates from the clock of the Crawl.
- Ids grow in the order of admission. What is owed is asked for host by host, in windows (see
  crawler/core/hosts/hosts.py).
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
    NotFollowed,
    OutboxLink,
    Pause,
    RefillRequest,
    Settled,
    ShardOutput,
)
from crawler.metrics.counters import Tally
from crawler.storage.frontier.reopened import Reopened
from crawler.storage.frontier.rows import SettledRow


class Batch(msgspec.Struct):
    """What one commit makes durable, and what is to be answered after it; `mail` in crawls of several shards."""

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
    mail: list[ShardOutput] = msgspec.field(default_factory=list)
    not_followed: dict[NotFollowed, int] = msgspec.field(default_factory=dict)

    def add(self, actions: Actions) -> None:
        """Keep what one more step decided."""
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
        if actions.mail:
            self.mail.append(actions.mail)
        for kind, count in actions.not_followed.items():
            self.not_followed[kind] = self.not_followed.get(kind, 0) + count

    @property
    def transferred(self) -> list[int]:
        """Ids of links that are no longer ours."""
        return [key for mail in self.mail for key in mail.transferred]

    @property
    def handed(self) -> list[str]:
        """URLs beyond the depth limit that another shard remembers now."""
        return [url for mail in self.mail for url in mail.handed]

    @property
    def foreign(self) -> list[OutboxLink]:
        """Links on their way to other shards."""
        return [foreign for mail in self.mail for foreign in mail.foreign]

    @property
    def acknowledged(self) -> list[int]:
        """Numbers of links that have arrived there."""
        return [seq for mail in self.mail for seq in mail.acknowledged]


def empty(step: Batch | Actions) -> bool:
    """Whether there is nothing in it for a frontier."""
    asks = step.refill_requests or step.search is not None
    kept = step.queued or step.settled or step.undetermined or step.retries or step.notes or step.pauses
    counted = step.beyond or step.not_followed
    return not (kept or counted or step.budgets or step.cookies or asks or step.mail)


class Left(msgspec.Struct, frozen=True):
    """How many of the links that are owed are `seeds`, or what one was redirected to; how many are owed another attempt
    (`retries`) by which hosts; the hosts that `joined` the scope."""

    seeds: int
    retries: int
    retried: tuple[str, ...]
    joined: tuple[str, ...]


class FrontierReader(Protocol):
    """The URLs of one shard or of all, to read. Raises StorageError wherever it touches a disk."""

    def owed(self) -> Iterator[Link]:
        """The links admitted and not settled, oldest first."""

    def count(self) -> int:
        """How many URLs were ever admitted."""

    def urls(self) -> Iterator[str]:
        """Every URL ever admitted."""

    def notes(self) -> Iterator[HostNote]:
        """The latest note of every host, in Unix time."""

    def settled(self) -> Iterator[SettledRow]:
        """Every settled URL, in the order they were admitted."""

    def beyond(self) -> Iterator[Link]:
        """The URLs in scope that the depth limit kept out, without an id, in the order they were found."""

    def named(self, parts: Iterable[str]) -> dict[str, dict[int, str]]:
        """For each of these parts the positions that settled rows name, with their URLs."""

    def records(self) -> dict[str, int]:
        """The parts that settled rows name, with how many records of each."""

    def tally(self) -> Tally:
        """What is settled: a copy."""

    def close(self) -> None:
        """Close the files."""


class Frontier(FrontierReader, Protocol):
    """The URLs of one shard, to work on."""

    def commit(self, batch: Batch, at: float) -> list[Link]:
        """Keep a batch that happened before the Unix time `at`. Returns those of its doubtful links that were new."""

    def admit_within(self, max_depth: int | None) -> int:
        """Before a run: admit the URLs beyond the limit of earlier runs that are within this one; None: all of them.
        Returns how many."""

    def reopen(self, words: frozenset[str]) -> Reopened:
        """Owe again, in one transaction, the settled URLs that these words select (see crawler/core/reopening.py): as
        if they had never been asked for. Nothing names their pages any more."""

    def pending(self, host: str, after: int, count: int) -> list[Link]:
        """So many links of a host that are owed and were never tried, oldest first, from the first after this id."""

    def retried(self, host: str) -> list[Link]:
        """The links of a host that are owed another attempt."""

    def hosts(self, after: str, count: int) -> list[str]:
        """So many hosts that owe links, in an order of its own, from the first after this one ("": from the first)."""

    def left(self) -> Left:
        """What a resume has to know at once of what is owed."""

    def note(self, host: str) -> HostNote | None:
        """The latest note of a host, in Unix time."""

    def budgets(self, host: str) -> tuple[Budget, ...]:
        """What was asked for of a host, by pattern."""

    def outbox(self) -> Iterator[OutboxLink]:
        """The links on their way to other shards, in the order they were sent."""

    def cookies(self) -> Iterator[CookieNote]:
        """The cookies of every home, in Unix time."""

    def next_id(self) -> int:
        """The first id that no link has."""
