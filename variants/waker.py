"""Ends a wait on file descriptors from another thread or a signal handler."""

from __future__ import annotations

import os
from contextlib import suppress


class Waker:
    """A pipe to wait on together with others; `wake` makes it readable."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._read_end

    def wake(self) -> None:
        """End the wait. Does nothing once it is closed."""
        with suppress(OSError):  # the pipe is full of wake-ups already, or closed
            os.write(self._write_end, b"\0")

    def clear(self) -> None:
        """Forget the wake-ups so far."""
        with suppress(BlockingIOError):
            os.read(self._read_end, 4096)

    def close(self) -> None:
        """Close the pipe."""
        write_end, self._write_end = self._write_end, -1  # a late signal must not write into the next file there
        os.close(write_end)
        os.close(self._read_end)
