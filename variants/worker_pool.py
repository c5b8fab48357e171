"""A `multiprocessing.Pool` that survives kill -9 of its workers, and pipes to them.

A worker killed inside the Pool's task queue leaves the queue's lock held, and the whole Pool hangs permanently,
`terminate()` included. So the task queue is never used: the workers serve inside the Pool's *initializer*, which does
not return while the crawl lasts. It makes a socket pair and sends one end to the parent, over one datagram socket that
all workers inherit. End of file there means that the worker is gone. The Pool's own supervision starts a new worker,
which connects in the same way.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing import active_children, connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.pool import Pool
from multiprocessing.process import BaseProcess
from time import monotonic

import msgspec

from crawler.errors import CrawlerError, WorkersLost
from crawler.system.threads import start_thread
from variants.pool_worker import PoolSpec, serve
from variants.supervision import FOREVER
from variants.worker_process import NO_START, kill, preloaded, spawn_errors, start_fork_server

START_PATIENCE = 60.0
CLOSE_PATIENCE = 5.0
LATE_START_PATIENCE = 1.0
MESSAGE_PATIENCE = struct.pack("@ll", 5, 0)
MOST_FAILED_STARTS = 4


class WorkerPool:
    """The processes of the Pool. `greeting` is readable when a worker wants to connect, see `accept`.

    Raises WorkersLost where no process can be started."""

    def __init__(self, processes: int, spec: PoolSpec) -> None:
        self._processes = processes
        self._seen: set[int | None] = set()
        self._connected = 0
        self._give_up_at = monotonic() + START_PATIENCE
        context = get_context("forkserver")
        context.set_forkserver_preload(preloaded())
        with ExitStack() as undo:
            self.greeting, greeter = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            undo.callback(self.greeting.close)
            undo.callback(greeter.close)
            undo.callback(setattr, threading, "excepthook", threading.excepthook)
            threading.excepthook = self._hook(threading.excepthook)
            with spawn_errors():
                start_fork_server()
                self._pool = _open_pool(context, processes, (greeter, msgspec.json.encode(spec)))
            self._undo = undo.pop_all()

    def accept(self) -> tuple[int, int, Connection]:
        """Connect a new worker: its number, counted from 1, its process id, and a pipe to it."""
        message, descriptors, _, _ = socket.recv_fds(self.greeting, 64, 1)
        line = socket.socket(fileno=descriptors[0])
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # a worker stopped in mid-message must not block us
            line.setsockopt(socket.SOL_SOCKET, option, MESSAGE_PATIENCE)
        self._connected += 1
        return self._connected, int(message), Connection(line.detach())

    def process(self, pid: int) -> BaseProcess | None:
        """The process of a worker; None where the Pool does not list it: it was started just now, or has ended."""
        return next((one for one in self._listed() if one.pid == pid), None)

    def expect_worker(self) -> None:
        """A worker is gone: from now on another has START_PATIENCE seconds to connect."""
        self._give_up_at = monotonic() + START_PATIENCE
        self._check_supervision()

    def check_starts(self) -> None:
        """Call while no worker is connected. Raises CrawlerError, WorkersLost where workers exit before they connect,
        or do not connect in time."""
        self._seen |= {process.pid for process in active_children()}
        if len(self._seen) - self._connected > 2 * self._processes + MOST_FAILED_STARTS:
            raise CrawlerError(NO_START)
        if monotonic() >= self._give_up_at:
            raise WorkersLost(
                f"no worker process has started within {START_PATIENCE:.0f} s; resume, or use another mode"
            )
        self._check_supervision()

    def _check_supervision(self) -> None:
        """Raises WorkersLost where the Pool's supervising thread has ended: the fork server is gone, so no worker can
        start."""
        if not self._pool._worker_handler.is_alive():  # type: ignore[attr-defined]
            raise WorkersLost("the process that starts workers was killed or cannot start any; resume to go on")

    def _hook(
        self, before: Callable[[threading.ExceptHookArgs], object]
    ) -> Callable[[threading.ExceptHookArgs], object]:
        """Suppresses the traceback of the Pool's supervising thread: `_check_supervision` reports it in one line."""

        def on_thread_death(died: threading.ExceptHookArgs) -> None:
            pool = getattr(self, "_pool", None)
            if died.thread is None or died.thread is not getattr(pool, "_worker_handler", None):
                before(died)

        return on_thread_death

    def stop_replacing(self) -> None:
        """Start no further worker."""
        self._pool.close()

    def close(self) -> None:
        """Wait until the Pool has ended; refuse workers that connect too late. The sockets may be closed only then: the
        Pool's own thread may be starting a process that inherits one, and `join` waits for that thread without limit.
        """
        with self._undo:
            try:
                joining = start_thread(self._pool.join, "pool-join")
            except RuntimeError:  # no thread can be started: kill the workers
                self._kill_all()
                raise
            give_up_at = monotonic() + LATE_START_PATIENCE
            while joining.is_alive() and monotonic() < give_up_at + CLOSE_PATIENCE:
                if monotonic() >= give_up_at:
                    self._kill_all()  # one was stopped before it connected, so its pid is not known
                if connection.wait([self.greeting], 0.02):
                    _, descriptors, _, _ = socket.recv_fds(self.greeting, 64, 1)
                    for descriptor in descriptors:
                        os.close(descriptor)

    def _kill_all(self) -> None:
        for process in self._listed():
            kill(process)

    def _listed(self) -> list[BaseProcess]:
        return list(self._pool._pool)  # type: ignore[attr-defined]


class PoolWorker:
    """The parent's view of one worker: the parent's end of the pipe and the open orders (fetch id -> when sent).

    `patience`: seconds it may hold an order, less than a lease: otherwise the Crawl would order the URL again from the
    same hung worker.
    """

    def __init__(self, pool: WorkerPool, pid: int, pipe: Connection, patience: float) -> None:
        self.pid = pid
        self.pipe = pipe
        self.orders: dict[int, float] = {}
        self._patience = patience
        self._pool = pool
        self._process = pool.process(pid)

    @property
    def process(self) -> BaseProcess | None:
        """Its process, None where the Pool never listed it."""
        if self._process is None:
            self._process = self._pool.process(self.pid)
        return self._process

    @property
    def answer_due(self) -> float:
        """When its oldest order has taken too long; FOREVER where it has none."""
        return next(iter(self.orders.values())) + self._patience if self.orders else FOREVER


def _open_pool(context: ForkServerContext, processes: int, initargs: tuple[socket.socket, bytes]) -> Pool:
    """Open a Pool; on an error kill the workers started so far, as a half-made Pool would wait for them at exit."""
    others = active_children()
    try:
        return context.Pool(processes, initializer=serve, initargs=initargs)
    except BaseException:
        for process in active_children():
            if process not in others:
                kill(process)
        raise
