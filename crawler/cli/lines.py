"""Progress as one line that changes on a terminal, and as a line each elsewhere."""

from __future__ import annotations

import sys
from typing import Protocol

from crawler.system.text import escape_unprintable


class Say(Protocol):
    """Shows how far it is; the `last` line stays."""

    def __call__(self, words: str, last: bool = False) -> None:
        """Show it."""


def on_one_line() -> Say:
    """Says it on stderr."""
    start, end = ("\r\x1b[K", "") if sys.stderr.isatty() else ("", "\n")

    def say(words: str, last: bool = False) -> None:
        sys.stderr.write(f"{start}{escape_unprintable(words)}{chr(10) if last else end}")
        sys.stderr.flush()

    return say
