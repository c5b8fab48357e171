"""Seeded draws: the same parts give the same numbers in every process, on every machine, in every Python.

Python's `hash()` differs per process and `random` may change its methods between releases; xxh3 does neither. Only
integers decide what a page contains, so no platform's floating point can change a body.
"""

from __future__ import annotations

from xxhash import xxh3_64_intdigest


class SeededRandom:
    """An endless sequence of numbers that depends only on `parts`."""

    __slots__ = ("_key", "_thrown")

    def __init__(self, *parts: object) -> None:
        self._key = "\0".join(map(str, parts)).encode()
        self._thrown = 0

    def below(self, n: int) -> int:
        """The next number, 0 <= it < n."""
        self._thrown += 1
        return xxh3_64_intdigest(self._key, self._thrown) % n
