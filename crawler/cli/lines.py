"""Progress as one line that is overwritten on a terminal, and as separate lines elsewhere."""

from __future__ import annotations

import sys
from typing import Protocol

from crawler.system.text import escape_unprintable


class Say(Protocol):
    """Shows a line of progress; the `last` one stays."""

    def __call__(self, words: str, last: bool = False) -> None:
        """Show a line."""


def on_one_line() -> Say:
    """A `Say` that writes to stderr."""
    start, end = ("\r\x1b[K", "") if sys.stderr.isatty() else ("", "\n")

    def say(words: str, last: bool = False) -> None:
        sys.stderr.write(f"{start}{escape_unprintable(words)}{chr(10) if last else end}")
        sys.stderr.flush()

    return say
