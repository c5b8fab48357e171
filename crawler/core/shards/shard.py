"""Which shard of a crawl a URL belongs to.

Rules:
- host -> slot is permanent: xxh3 of the host modulo SLOTS. slot -> shard is rendezvous hashing (Thaler and Ravishankar,
  "Using name-based mappings to increase hit rates", 1998): when a shard is added or removed, only the slots that it
  wins or had change owners.
- Slots are too coarse for many shards: of 1,000 a third would have none. With more than MOST_BY_SLOT a host goes to its
  shard by jump consistent hashing (Lamping and Veach, https://arxiv.org/abs/1406.2294), which is even for any number
  and moves as little. Layouts by slots are on disk, so fewer shards keep theirs.
- A host has one *owner*, found so by its name. Each URL of a host that was *spread* belongs to a shard found so by the
  URL. That shard tells whether the URL is new, also after the host was gathered and the owner asks for all that is
  left.
"""

from __future__ import annotations

from functools import lru_cache

from xxhash import xxh3_64_intdigest

from crawler.core.messages import HostNote, HostPlacement

SLOTS = 1024
MOST_BY_SLOT = 64
MULTIPLIER, BITS = 2862933555777941757, 2**64 - 1
"""Of the linear congruential generator of jump consistent hashing."""


def slot_of(name: str) -> int:
    """The slot of a host, or of a URL of a host that was spread."""
    return xxh3_64_intdigest(name.encode()) % SLOTS


@lru_cache(maxsize=64)
def owners(shards: int) -> tuple[int, ...]:
    """The shard, 0 to `shards` - 1, of each slot."""
    return tuple(
        max(range(shards), key=lambda shard: xxh3_64_intdigest(f"{slot} {shard}".encode())) for slot in range(SLOTS)
    )


def jump(key: int, shards: int) -> int:
    """The shard, 0 to `shards` - 1, of a key of 64 bits."""
    shard = following = 0
    while following < shards:
        shard = following
        key = (key * MULTIPLIER + 1) & BITS
        following = int((shard + 1) * (2**31 / ((key >> 33) + 1)))
    return shard


class Shard:
    """Shard number `index` of `count`."""

    def __init__(self, index: int = 0, count: int = 1) -> None:
        self.index = index
        self.count = count
        self._owners = owners(count) if count <= MOST_BY_SLOT else ()

    def owner(self, name: str) -> int:
        """The shard of a host, or of a URL of a host that was spread."""
        if self._owners:
            return self._owners[slot_of(name)]
        return jump(xxh3_64_intdigest(name.encode()), self.count)

    def share(self, total: int) -> int:
        """This shard's part of a number that all share; the remainder goes to the first ones."""
        return total // self.count + (self.index < total % self.count)

    def may_spread(self, delay: float, per_host: int) -> bool:
        """Whether a host with a delay of `delay` seconds may be asked by all shards at once."""
        return delay == 0 and per_host >= self.count


def merge_notes(before: HostNote | None, note: HostNote) -> HostNote:
    """One note from two of the same host."""
    if before is None:
        return note
    newer, older = (note, before) if note.robots_until >= before.robots_until else (before, note)
    return HostNote(
        host=note.host,
        robots=newer.robots if newer.robots is not None else older.robots,
        robots_until=newer.robots_until,
        delay=max(note.delay, before.delay),
        rest_until=max(note.rest_until, before.rest_until),
        joined=note.joined or before.joined,
        reach=HostPlacement(max(note.reach, before.reach)),
        heard=note.heard or before.heard,
        down_for=min(note.down_for, before.down_for),
    )
