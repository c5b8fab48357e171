"""The lock of a crawl directory: one process works on a crawl at a time, and others can tell which.

Rules:
- It is an flock of DIR/lock: the kernel releases it when the process ends, however it ends.
- The file has the id of the process that holds it. To read it, another process takes the lock for a moment, shared: so
  a process that wants the lock waits LOCK_PATIENCE for it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path

from crawler.system.file_lock import FileLock

LOCK = "lock"
LOCK_PATIENCE = 0.2  # seconds


def take(path: Path, stack: ExitStack) -> FileLock:
    """Take the lock of a directory; the stack releases it. Raises Locked, StorageError."""
    lock = FileLock(path / LOCK)
    lock.acquire(str(path), LOCK_PATIENCE)
    stack.callback(lock.release)
    return lock


def owner(path: Path) -> int | None:
    """The id of the process that holds the lock of a directory: 0 where the id is not written yet, None where no
    process holds it."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 64, 0).partition(b"\n")[0]
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return None
