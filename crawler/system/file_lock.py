"""One writer at a time: `flock` on a small file beside what it protects.

The kernel releases the lock when its holder ends, however that happens, so a lock is never stale. The file is only the
handle of the lock and names its holder. It is never removed: otherwise two processes could lock two files of one name.
SQLite files themselves are never locked this way: closing a second descriptor of one would drop SQLite's own locks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from crawler.errors import DiskFull, Locked, StorageError

LONGEST = 128
"""The most bytes in a lock file: the process id of the holder and, on a second line, its machine."""


class FileLock:
    """An exclusive lock, held from `acquire` to `release`. Not inherited by child processes started with exec."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, what: str, patience: float = 0.0) -> None:
        """Take the lock, trying for `patience` seconds. Raises Locked (naming the holder) or StorageError."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DiskFull(f"no space left for {self.path}; free some, then resume") from error
            raise StorageError(f"cannot write in {self.path.parent}: {error.strerror}; it must be writable") from error
        give_up_at = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up_at:
                    holder = " ".join(os.pread(descriptor, LONGEST, 0).decode("ascii", "replace").split()) or "unknown"
                    os.close(descriptor)
                    raise Locked(f"{what} is in use by process {holder}; wait for it or stop it first") from None
                time.sleep(0.02)
        with suppress(OSError):  # a full disk: the holder cannot be recorded, but the lock is held
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\non {os.uname().nodename}\n".encode()[:LONGEST], 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock; does nothing when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
