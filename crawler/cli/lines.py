"""Progress as one line that is overwritten on a terminal, and as separate lines elsewhere; lists in options."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from shutil import get_terminal_size
from typing import Protocol

from rich.cells import cell_len, set_cell_size

from crawler.system.stderr import ERASE
from crawler.system.text import escape_unprintable


class Say(Protocol):
    """Shows a line of progress; the `last` one stays."""

    def __call__(self, words: str, last: bool = False) -> None:
        """Show a line."""


def on_one_line() -> Say:
    """A `Say` that writes to stderr. On a terminal a line is cut to its width: of one that wraps, only the last row
    could be overwritten."""
    live = sys.stderr.isatty()

    def say(words: str, last: bool = False) -> None:
        line = escape_unprintable(words)
        text = f"{ERASE}{fitted(line, columns())}" if live else line
        sys.stderr.write(text + ("\n" if last or not live else ""))
        sys.stderr.flush()

    return say


def fitted(line: str, width: int) -> str:
    """The line, cut to `width` columns, with an ellipsis where something is left out."""
    return line if cell_len(line) <= width else f"{set_cell_size(line, width - 1)}…"


def columns() -> int:
    """The columns of a line. The last three stay free: some terminals wrap when the last one is written, and a terminal
    writes ^C behind the line."""
    return max(get_terminal_size().columns - 3, 1)


def erase_line() -> None:
    """Take the line of progress off a terminal, before something else is written there."""
    if sys.stderr.isatty():
        sys.stderr.write(ERASE)
        sys.stderr.flush()


def silent(words: str, last: bool = False) -> None:
    """A `Say` that shows nothing."""


def on_interrupt(words: str) -> Callable[[str], None]:
    """What `Signals.say` calls: writes straight to stderr, over the progress line, because the signal may have
    interrupted the buffered stream."""
    start = ERASE if sys.stderr.isatty() else ""

    def say(_: str) -> None:
        with suppress(OSError):
            os.write(2, f"{start}stopping: {words}\n".encode())

    return say


def names(listed: str) -> tuple[str, ...]:
    """The distinct names in a list with commas."""
    return tuple(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
