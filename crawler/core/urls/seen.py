"""The URLs ever admitted, as 64-bit marks: exact up to a limit; beyond it `complete` is False where a mark may be
missing.

A mark is xxh3 of the URL under a random seed of the crawl, so no host can prepare two URLs that collide; by accident
two of 10^8 URLs do with a chance of 0.03 %.

Rules:
- A mark that is here was admitted. One that is not here is new as long as `complete`; after that the unique index of
  the frontier decides (`DedupResult`).
- The first FIRST marks, which are what most links of a site lead to, are in a set: 80 bytes a mark. Later ones are in
  sorted arrays, one for each value of the first bits: 10 bytes a mark, and a look-up costs 0.8 us where the set takes
  0.25 (a million marks, hashing included).
- Beyond the limit two generations of marks remember the URLs added last: where the younger is full, the older is
  dropped.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable
from itertools import repeat

from xxhash import xxh3_64_intdigest

FIRST = 1 << 17
RECENT = 1 << 15
BITS = 13
SHIFT = 64 - BITS


def mark(url: str, seed: int) -> int:
    """The 64-bit mark of a canonical URL in the crawl of this seed."""
    return xxh3_64_intdigest(url.encode(), seed)


def marks(urls: Iterable[str], seed: int) -> bytes:
    """The marks of URLs, packed as `Resumed` carries them."""
    return array("Q", [xxh3_64_intdigest(url.encode(), seed) for url in urls]).tobytes()


class Seen:
    """Tells a URL that was admitted before from a new one. `complete`: it knows every URL that was admitted."""

    def __init__(self, seed: int, limit: int) -> None:
        self.complete = True
        self._seed = seed
        self._left = limit
        self._first: set[int] = set()
        self._sorted: list[array[int]] = []
        self._recent: set[int] = set()
        self._older: set[int] = set()

    def __contains__(self, url: str) -> bool:
        mark = xxh3_64_intdigest(url.encode(), self._seed)
        if mark in self._first:
            return True
        if self._sorted:
            part = self._sorted[mark >> SHIFT]
            place = bisect_left(part, mark)
            if place < len(part) and part[place] == mark:
                return True
        return mark in self._recent or mark in self._older

    def partition(self, urls: Collection[str]) -> tuple[list[str], list[str]]:
        """Those of these URLs that are new, and those that were admitted before. The hottest loop of a crawl: on most
        pages all are known, and then it runs in C."""
        marks = [*map(xxh3_64_intdigest, map(str.encode, urls), repeat(self._seed))]
        first = self._first
        if first.issuperset(marks):
            return [], [*urls]
        new: list[str] = []
        known: list[str] = []
        for url, mark in zip(urls, marks, strict=True):
            (known if mark in first or url in self else new).append(url)
        return new, known

    def add(self, url: str) -> None:
        """Remember one URL that is not here."""
        self._add(xxh3_64_intdigest(url.encode(), self._seed))

    def load(self, marks: bytes | None) -> None:
        """Remember what an earlier run admitted; None: too many marks, the frontier decides."""
        if marks is None:
            self.complete = False
        else:
            for mark in array("Q", marks):
                self._add(mark)

    def _add(self, mark: int) -> None:
        if self._left <= 0:
            self._add_recent(mark)
            return
        self._left -= 1
        if len(self._first) < FIRST:
            self._first.add(mark)
            return
        if not self._sorted:
            self._sorted = [array("Q") for _ in range(1 << BITS)]
        part = self._sorted[mark >> SHIFT]
        part.insert(bisect_left(part, mark), mark)

    def _add_recent(self, mark: int) -> None:
        if len(self._recent) >= RECENT:
            self.complete = self.complete and not self._older
            self._recent, self._older = set(), self._recent
        self._recent.add(mark)
