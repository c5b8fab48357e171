"""Progress as one line that is overwritten on a terminal, and as separate lines elsewhere; lists in options."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
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


def silent(words: str, last: bool = False) -> None:
    """A `Say` that shows nothing."""


def on_interrupt(words: str) -> Callable[[str], None]:
    """What `Signals.say` calls: writes straight to stderr, after the progress line, because the signal may have
    interrupted the buffered stream."""

    def say(_: str) -> None:
        with suppress(OSError):
            os.write(2, f"\nstopping: {words}\n".encode())

    return say


def names(listed: str) -> tuple[str, ...]:
    """The distinct names in a list with commas."""
    return tuple(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
