"""The URLs ever admitted: an exact set of 64-bit marks.

A mark is xxh3 of the URL under a seed that each crawl draws for itself, so no host can prepare two URLs that collide;
by accident two of 10^8 URLs do with a chance of 0.03 %. A mark costs 60-70 bytes of memory, its URL would cost 140.
"""

from __future__ import annotations

from collections.abc import Iterable

from xxhash import xxh3_64_intdigest


def mark(url: str, seed: int) -> int:
    """The 64-bit mark of a canonical URL in the crawl of this seed."""
    return xxh3_64_intdigest(url.encode(), seed)


class Seen:
    """Tells a new URL from one that was admitted before."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._marks: set[int] = set()

    def __contains__(self, url: str) -> bool:
        return xxh3_64_intdigest(url.encode(), self._seed) in self._marks

    def add(self, url: str) -> None:
        """Remember one URL."""
        self._marks.add(xxh3_64_intdigest(url.encode(), self._seed))

    def discard(self, url: str) -> None:
        """Forget one URL."""
        self._marks.discard(xxh3_64_intdigest(url.encode(), self._seed))

    def load(self, marks: Iterable[int]) -> None:
        """Remember the marks that an earlier run kept."""
        self._marks.update(marks)
