"""The known pages that a generation does not ask for.

A URL is known by its 64-bit mark, as in crawler/core/urls/seen.py. All marks are in one sorted array, 8 bytes each, so
that each shard of a crawl can afford to have them all: pages of any shard may link to them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

from crawler.core.urls.seen import mark, marks


def packed(urls: Iterable[str], seed: int) -> bytes:
    """The sorted marks of URLs, in the crawl of this seed, as `CarriedOver` has them."""
    return array("Q", sorted(array("Q", marks(urls, seed)))).tobytes()


class CarriedUrls:
    """The URLs with these sorted `marks`, in the crawl of this `seed`."""

    def __init__(self, marks: bytes, seed: int) -> None:
        self._marks = array("Q", marks)
        self._seed = seed

    def __contains__(self, url: str) -> bool:
        sought = mark(url, self._seed)
        place = bisect_left(self._marks, sought)
        return place < len(self._marks) and self._marks[place] == sought
