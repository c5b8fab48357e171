"""What to say where the system gives no more threads, or no memory. Python says RuntimeError, as if it were a bug."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from crawler.errors import OutOfMemory, WorkersLost

NO_MORE = "can't start new thread"  # CPython, Modules/_threadmodule.c
NO_LOCK = "can't allocate lock"  # there, too; it is memory that is wanting


@contextmanager
def threads_or_a_line() -> Iterator[None]:
    """Raises WorkersLost where a thread cannot be started, OutOfMemory where no memory is left."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory from error
    except RuntimeError as error:
        if NO_LOCK in str(error):
            raise OutOfMemory from error
        if NO_MORE not in str(error):
            raise
        raise WorkersLost(
            "no more threads can be started; choose a lower --concurrency or raise the limit (ulimit -u, pids.max), "
            "then resume"
        ) from error
