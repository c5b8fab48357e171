"""Starts the threads of a crawl, and maps failures to start one to errors of the crawler.

Rules:
- Each has a small stack. With the system's default, 8 MiB of address space, a limited process runs out of that first.
- Python raises RuntimeError where a thread cannot be started, as for a bug. It becomes WorkersLost or OutOfMemory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from crawler.errors import OutOfMemory, WorkersLost
from crawler.system.memory_shortage import can_map

NO_MORE = "can't start new thread"  # CPython, Modules/_threadmodule.c
NO_LOCK = "can't allocate lock"  # same file; for lack of memory
STACK = 512 * 1024
"""Bytes of a stack. Our deepest, a commit of SQLite in a commit of the recorder, takes a tenth of it."""
_starting = threading.Lock()  # the stack size is a setting of the whole process


def start_thread(work: Callable[..., object], name: str, *args: Any) -> threading.Thread:
    """Start a daemon thread with a small stack. Raises RuntimeError where no thread can be started, or MemoryError."""
    thread = threading.Thread(target=work, name=name, args=args, daemon=True)
    with _starting:
        before = threading.stack_size(STACK)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    return thread


@contextmanager
def thread_errors() -> Iterator[None]:
    """Raises WorkersLost where a thread cannot be started, OutOfMemory where no memory is left."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory from error
    except RuntimeError as error:
        if NO_LOCK in str(error) or (NO_MORE in str(error) and not can_map()):
            raise OutOfMemory from error
        if NO_MORE not in str(error):
            raise
        raise WorkersLost(
            "no more threads can be started; choose a lower --concurrency or raise the limit (ulimit -u, pids.max), "
            "then resume"
        ) from error
