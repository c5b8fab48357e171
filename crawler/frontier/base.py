"""The durable memory of URLs: the interface of every frontier.

Rules:
- `commit` is one transaction: after any kill a frontier holds all of a batch or nothing of it.
- A URL is one row for ever. A settled row is never changed again; it names the (part, position) of its page.
- Times cross this interface as Unix time; the recorder translates from the clock of the Crawl.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from crawler.core.messages import Actions, Foreign, HostNote, Link, Mail, Reason, Settled
from crawler.stats import Tally


class Batch(msgspec.Struct):
    """What one commit makes durable; `mail` in crawls of several shards."""

    queued: list[Link] = msgspec.field(default_factory=list)
    settled: list[Settled] = msgspec.field(default_factory=list)
    retries: list[Link] = msgspec.field(default_factory=list)
    notes: list[HostNote] = msgspec.field(default_factory=list)
    too_deep: int = 0
    mail: list[Mail] = msgspec.field(default_factory=list)

    def add(self, actions: Actions) -> None:
        """What a step decided."""
        self.queued += actions.queued
        self.settled += actions.settled
        self.retries += actions.retries
        self.notes += actions.notes
        self.too_deep += actions.too_deep
        if actions.mail:
            self.mail.append(actions.mail)

    def __bool__(self) -> bool:
        """Is anything in it?"""
        return bool(self.queued or self.settled or self.retries or self.notes or self.mail)

    @property
    def adopted(self) -> list[Link]:
        """Links that come from other shards."""
        return [link for mail in self.mail for link in mail.adopted]

    @property
    def passed(self) -> list[int]:
        """Ids of links that are no longer ours."""
        return [key for mail in self.mail for key in mail.passed]

    @property
    def foreign(self) -> list[Foreign]:
        """Links on their way to other shards."""
        return [foreign for mail in self.mail for foreign in mail.foreign]

    @property
    def acknowledged(self) -> list[int]:
        """Numbers of links that have arrived there."""
        return [seq for mail in self.mail for seq in mail.acknowledged]

    @property
    def gained(self) -> int:
        """By how many links the shard is richer."""
        return len(self.queued) + len(self.adopted) - len(self.passed)


class Row(msgspec.Struct, frozen=True):
    """One settled URL, as exports and audits read it. `settled_at` is Unix time."""

    id: int
    url: str
    depth: int
    reason: Reason
    status: int
    attempts: int
    part: str
    position: int
    size: int
    digest: bytes
    truncated: str
    content_type: str
    settled_at: float
    seconds: float
    detail: str


class FrontierReader(Protocol):
    """The URLs of one shard or of all, to read. Raises StorageError wherever it touches a disk."""

    def owed(self) -> Iterator[Link]:
        """The links admitted and not settled, oldest first."""

    def urls(self) -> Iterator[str]:
        """Every URL ever admitted."""

    def notes(self) -> Iterator[HostNote]:
        """The latest note of every host, in Unix time."""

    def settled(self) -> Iterator[Row]:
        """Every settled URL, in the order they were admitted."""

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

    def commit(self, batch: Batch, at: float) -> None:
        """Keep a batch that happened before the Unix time `at`."""

    def outbox(self) -> Iterator[Foreign]:
        """The links on their way to other shards, in the order they were sent."""

    def next_id(self) -> int:
        """The first id that no link has."""
