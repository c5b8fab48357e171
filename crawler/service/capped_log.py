"""The log of one run: appended to, and never larger than its bound.

Rules:
- When the file has half of the bound it becomes `NAME.1`, in place of the one before, and a new one begins. So the end
  of the log is always there, and at least half of the bound of it.
- What cannot be written, on a full disk, is left out: a log is no reason to stop a crawl.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

PRIVATE_FILE = 0o600


def earlier(path: Path) -> Path:
    """The file that holds what came before that in `path`."""
    return path.with_name(f"{path.name}.1")


class CappedLog:
    """An open log of at most `most` bytes, in two files."""

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._half = max(1, most // 2)
        self._descriptor: int | None = None
        self._size = 0

    def write(self, text: bytes) -> None:
        """Append; of more than half of the bound only the end is kept."""
        text = text[-self._half :]
        with suppress(OSError):
            if self._descriptor is None:
                self._open()
            if self._size and self._size + len(text) > self._half:
                self.close()
                self._path.replace(earlier(self._path))
                self._open()
            assert self._descriptor is not None
            self._size += os.write(self._descriptor, text)

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, PRIVATE_FILE)
        self._size = os.fstat(self._descriptor).st_size
