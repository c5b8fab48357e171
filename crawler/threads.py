"""What to say where the system gives no more threads. Python says RuntimeError, as if it were a bug."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from crawler.errors import WorkersLost

NO_MORE = "can't start new thread"  # CPython, Modules/_threadmodule.c


@contextmanager
def threads_or_a_line() -> Iterator[None]:
    """Raises WorkersLost where a thread cannot be started."""
    try:
        yield
    except RuntimeError as error:
        if NO_MORE not in str(error):
            raise
        raise WorkersLost(
            "no more threads can be started; choose a lower --concurrency or raise the limit (ulimit -u, pids.max), "
            "then resume"
        ) from error
