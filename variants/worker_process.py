"""Start and end of worker processes: they start from a fork server and never outlive the crawler.

Rules:
- They start from a fork server, so no thread, loop, lock or connection of the crawler crosses a fork.
- Only the crawler handles SIGINT and SIGTERM, and drains. The fork server has both blocked, and children inherit that.
- The kernel kills the fork server with the crawler, and its children with it: at once, whatever they do. Where another
  thread than the main one starts it, it ends by itself (the crawler holds the other end of a pipe). The resource
  tracker of multiprocessing stays for a moment, because it removes the semaphores that they leave.
- No process is killed by its pid alone. The fork server reaps its children, so the pid of one that ended may belong to
  another process by now, which would be killed instead. A pidfd is opened and checked first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

from crawler.errors import WorkersLost
from crawler.system.end_with_parent import PARENT
from crawler.system.logs import capture_library_logs
from crawler.system.parent_death import die_with_parent

PRELOADED = "variants.fork_server"
ENDING = "crawler.system.end_with_parent"
NO_MEMORY_EXIT = 77
"""The exit status of a worker that ran out of memory."""
NO_START = (
    "worker processes die while they start; a program that uses mode 'processes' or 'prefork' must be a file that does "
    'its work under `if __name__ == "__main__":`'
)
TRACKER_IS_QUIET = "ignore:resource_tracker:UserWarning"


def preloaded() -> list[str]:
    """The modules that the fork server imports, in this order. It ends with the thread that starts it, so only where
    that is the main thread."""
    return [ENDING, PRELOADED] if threading.current_thread() is threading.main_thread() else [PRELOADED]


def start_fork_server() -> None:
    """Start it with SIGTERM and SIGINT blocked; its children inherit that, so a signal to the group lets them drain."""
    from multiprocessing import forkserver

    # After a kill the tracker would warn on stderr of leaked locks, which it then removes: not a fault to report.
    sys.warnoptions.append(TRACKER_IS_QUIET)
    resource_tracker.ensure_running()
    sys.warnoptions.remove(TRACKER_IS_QUIET)
    if ENDING in preloaded():
        os.environ[PARENT] = str(os.getpid())
    signals = {signal.SIGINT, signal.SIGTERM}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.environ.pop(PARENT, None)


def init_child() -> None:
    """Called in a child: make it end when the crawler ends, however that ends, and capture library logs."""
    capture_library_logs()
    die_with_parent()  # the parent is the fork server, which ends with the crawler
    _let_fork_server_go()


@contextlib.contextmanager
def spawn_errors() -> Iterator[None]:
    """Wraps the start of a process. Raises WorkersLost where the fork server or the system cannot start one."""
    try:
        yield
    except (OSError, EOFError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "the fork server is gone"
        raise WorkersLost(f"cannot start a worker process ({why}); see to it (ulimit -u, pids.max), resume") from error


def kill(process: BaseProcess) -> None:
    """Send SIGKILL to a process that we started, if it is still running."""
    pid = process.pid
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError):
        if not hasattr(os, "pidfd_open"):  # not Linux: a moment remains between looking and killing
            if process.is_alive():
                os.kill(pid, signal.SIGKILL)
            return
        held = os.pidfd_open(pid)
        try:
            if process.is_alive():  # alive now, so the pidfd is of this process, not of a later one with its pid
                signal.pidfd_send_signal(held, signal.SIGKILL)
        finally:
            os.close(held)


def _let_fork_server_go() -> None:
    """Close our copy of the pipe that keeps the fork server alive, so that it ends with the crawler, not with us."""
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None
