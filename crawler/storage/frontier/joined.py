"""The frontiers of several shards read as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import chain

from crawler.core.messages import HostNote, Link
from crawler.metrics.counters import Tally
from crawler.storage.frontier.base import FrontierReader
from crawler.storage.frontier.rows import SettledRow


def join(frontiers: Sequence[FrontierReader]) -> FrontierReader:
    """One reader for all these frontiers."""
    return frontiers[0] if len(frontiers) == 1 else JoinedFrontier(frontiers)


class JoinedFrontier:
    """Reads shard after shard. Ids are those of the shards, so they are not unique."""

    def __init__(self, frontiers: Sequence[FrontierReader]) -> None:
        self._frontiers = frontiers

    def owed(self) -> Iterator[Link]:
        """The links not settled."""
        return chain.from_iterable(one.owed() for one in self._frontiers)

    def count(self) -> int:
        """How many URLs there are in all."""
        return sum(one.count() for one in self._frontiers)

    def urls(self) -> Iterator[str]:
        """Every URL."""
        return chain.from_iterable(one.urls() for one in self._frontiers)

    def notes(self) -> Iterator[HostNote]:
        """The notes of every shard: a host may have several."""
        return chain.from_iterable(one.notes() for one in self._frontiers)

    def settled(self, by_url: bool = False) -> Iterator[SettledRow]:
        """Every settled URL."""
        rows = [one.settled(by_url) for one in self._frontiers]
        return merge(*rows, key=lambda row: row.url) if by_url else chain.from_iterable(rows)

    def find(self, url: str) -> SettledRow | None:
        """The row of one URL."""
        return next((row for one in self._frontiers if (row := one.find(url)) is not None), None)

    def beyond(self) -> Iterator[Link]:
        """The URLs beyond the depth limit."""
        return chain.from_iterable(one.beyond() for one in self._frontiers)

    def named(self, parts: Iterable[str]) -> dict[str, dict[int, str]]:
        """Positions that settled rows name, by part."""
        named: dict[str, dict[int, str]] = {part: {} for part in parts}
        for one in self._frontiers:
            for part, positions in one.named(named).items():
                named[part].update(positions)
        return named

    def records(self) -> dict[str, int]:
        """The parts that settled rows name, with their numbers of records."""
        records: dict[str, int] = {}
        for one in self._frontiers:
            for part, count in one.records().items():
                records[part] = records.get(part, 0) + count
        return records

    def tally(self) -> Tally:
        """The sum of all tallies."""
        tally = Tally()
        for one in self._frontiers:
            tally.merge(one.tally())
        return tally

    def close(self) -> None:
        """Close all files."""
        for one in self._frontiers:
            one.close()
