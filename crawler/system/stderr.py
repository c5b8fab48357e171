"""What is told on stderr while a crawl runs. It never waits for whoever reads there.

A pipe that nobody reads is full after 64 KiB, and a write to it would stop the thread that writes: the event loop, or
one that holds a lock that the end of the process needs. So a line is written only where the system says that there is
room, in one piece; else it is dropped and counted, and the next line that gets through says so.
"""

from __future__ import annotations

import os
import select

LONGEST = 4096
"""Bytes that a pipe with room takes at once (PIPE_BUF on Linux)."""
DESCRIPTOR = 2
PATIENCE = 1.0
"""Seconds that the last words wait for room."""

_dropped = 0


def write_nonblocking(line: str, patience: float = 0.0) -> bool:
    """Write a line, if there is room for it within so many seconds. Safe in a signal handler, from any thread."""
    global _dropped
    lost = f" ({_dropped} lines before this one were lost)" if _dropped else ""
    text = f"{line}{lost}".encode("utf-8", "backslashreplace")[: LONGEST - 1] + b"\n"
    try:
        if _has_room(patience):
            os.write(DESCRIPTOR, text)
            _dropped = 0
            return True
    except OSError:  # the reader is gone, or the disk that keeps the log is full: nobody can be told
        pass
    _dropped += 1
    return False


def _has_room(patience: float) -> bool:
    poll = select.poll()
    poll.register(DESCRIPTOR, select.POLLOUT)
    return any(event & select.POLLOUT for _, event in poll.poll(1000 * patience))


class Lines:
    """Stderr as a file that takes whole lines."""

    def write(self, text: str) -> None:
        """Tell a line."""
        write_nonblocking(text.rstrip("\n"))

    def flush(self) -> None:
        """Nothing is kept back."""
