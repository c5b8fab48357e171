"""A frontier that lives and dies with its process: for tests and for programs that want pages, not a directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy

from msgspec.structs import replace

from crawler.core.messages import Foreign, HostNote, Link, Settled
from crawler.frontier.base import Batch, Row
from crawler.stats import Tally


class MemoryFrontier:
    """The same memory as SqliteFrontier, in dictionaries."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        self._ends: dict[int, tuple[Settled, float]] = {}
        self._notes: dict[str, HostNote] = {}
        self._outbox: dict[int, Foreign] = {}
        self._tally = Tally()

    def commit(self, batch: Batch, at: float) -> None:
        """Keep a batch."""
        for link in (*batch.queued, *batch.adopted, *batch.retries):
            self._links[link.id] = link
        for key in batch.passed:
            del self._links[key]
        self._outbox.update((foreign.seq, foreign) for foreign in batch.foreign)
        for seq in batch.acknowledged:
            self._outbox.pop(seq, None)
        for end in batch.settled:
            self._ends[end.id] = (end, at)
        for note in batch.notes:
            known = self._notes.get(note.host)
            keep_text = note.robots is None and known is not None
            self._notes[note.host] = replace(note, robots=known.robots) if keep_text and known else note
        self._tally.add(batch.gained, batch.settled, len(batch.retries), batch.too_deep)

    def owed(self) -> Iterator[Link]:
        """The links not settled."""
        return (link for key, link in sorted(self._links.items()) if key not in self._ends)

    def urls(self) -> Iterator[str]:
        """Every URL."""
        return (link.url for link in self._links.values())

    def outbox(self) -> Iterator[Foreign]:
        """The links on their way."""
        return (foreign for _, foreign in sorted(self._outbox.items()))

    def notes(self) -> Iterator[HostNote]:
        """The latest notes."""
        return iter(self._notes.values())

    def settled(self) -> Iterator[Row]:
        """Every settled URL."""
        for key, (end, at) in sorted(self._ends.items()):
            yield row_of(end, self._links[key].depth, at)

    def named(self, parts: Iterable[str]) -> dict[str, dict[int, str]]:
        """Positions that settled rows name."""
        named: dict[str, dict[int, str]] = {part: {} for part in parts}
        for end, _ in self._ends.values():
            if end.part in named:
                named[end.part][end.position] = end.url
        return named

    def records(self) -> dict[str, int]:
        """The parts that settled rows name."""
        return dict(Counter(end.part for end, _ in self._ends.values() if end.part))

    def tally(self) -> Tally:
        """A copy of the counts."""
        return deepcopy(self._tally)

    def next_id(self) -> int:
        """The first free id."""
        return max(self._links, default=0) + 1

    def close(self) -> None:
        """Nothing to close."""


def row_of(end: Settled, depth: int, at: float) -> Row:
    """A settled message as the row it becomes."""
    return Row(
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
    )
