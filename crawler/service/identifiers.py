"""Ids of jobs, runs, schedules and tokens: a kind and 12 characters that sort by time.

Rules:
- 50 bits of milliseconds since 1970 (until the year 37,000), then 10 bits of chance, in Crockford's base 32 (lower
  case): no letter that can be taken for another, safe in URLs and file names.
- An id is greater than the one before, also where the clock was set back: cursors of lists are ids.
- What comes from outside is compared with PATTERN before it becomes a path.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 12
CHANCE = 10  # bits
PATTERN = re.compile(r"(job|run|sch|tok)_[0-9a-hjkmnp-tv-z]{12}")


class Identifiers:
    """Makes ids. `last` is the greatest that was given before, "" where there is none; `dice` returns that many random
    bits."""

    def __init__(self, last: str = "", dice: Callable[[int], int] = secrets.randbits) -> None:
        self._last = _number(last.partition("_")[2]) if PATTERN.fullmatch(last) else 0
        self._dice = dice

    def make(self, kind: str, now: float) -> str:
        """An id of this kind at `now` (Unix time)."""
        self._last = max(self._last + 1, int(now * 1000) << CHANCE | self._dice(CHANCE))
        return f"{kind}_{_text(self._last)}"


def _text(number: int) -> str:
    return "".join(ALPHABET[number >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5))


def _number(text: str) -> int:
    number = 0
    for letter in text:
        number = number << 5 | ALPHABET.index(letter)
    return number
