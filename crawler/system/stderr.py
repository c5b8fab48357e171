"""Non-blocking writes to stderr while a crawl runs.

A pipe without a reader is full after 64 KiB, and a write to it would block the calling thread: the event loop, or one
that holds a lock needed for shutdown. So a line is written only where `poll` reports room, in one piece; else it is
dropped and counted, and the next line that is written has that count.

On a terminal a status may stand on the line of the cursor. Every line written here takes its place, and it is written
again below.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress

LONGEST = 4096
"""Bytes that a pipe with room takes at once (PIPE_BUF on Linux)."""
DESCRIPTOR = 2
ERASE = "\r\x1b[K"
"""Takes what stands on the line of the cursor off a terminal."""
PATIENCE = 1.0
"""Seconds that the last line of a run waits for room."""

_dropped = 0
_status = ""


def write_nonblocking(line: str, patience: float = 0.0) -> bool:
    """Write a line if there is room within `patience` seconds; returns whether. Safe in a signal handler and from any
    thread."""
    global _dropped
    lost = f" ({_dropped} lines before this one were lost)" if _dropped else ""
    start = ERASE if _status else ""
    text = _bytes(f"{start}{line}{lost}")[: LONGEST - 1] + b"\n" + _bytes(_status)
    try:
        if _has_room(patience):
            os.write(DESCRIPTOR, text)
            _dropped = 0
            return True
    except OSError:  # the reader is gone, or the disk that keeps the log is full: it cannot be reported
        pass
    _dropped += 1
    return False


def show_status(status: str) -> None:
    """Show this text on the line of the cursor of a terminal, in place of the one before; "" takes it away. It must fit
    into the line."""
    global _status
    _status = status
    with suppress(OSError):
        if _has_room(0.0):
            os.write(DESCRIPTOR, _bytes(f"{ERASE}{status}"))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _has_room(patience: float) -> bool:
    poll = select.poll()
    poll.register(DESCRIPTOR, select.POLLOUT)
    return any(event & select.POLLOUT for _, event in poll.poll(1000 * patience))


class Lines:
    """Stderr as a file that takes whole lines."""

    def write(self, text: str) -> None:
        """Write a line without blocking."""
        write_nonblocking(text.rstrip("\n"))

    def flush(self) -> None:
        """Nothing is buffered."""
