"""`processes`: Master-Worker on `multiprocessing.Pool`. The parent decides; each worker fetches, parses and stores
pages.

Orders and landings travel in batches over one pipe per worker. Bodies do not: a worker writes its pages to its own part
and flushes it before it answers. A Pool worker that fetches one page at a time would allow only P fetches in flight, so
each runs a pool of threads (`--threads-per-process`).

How the Pool survives kill -9 of its workers. A worker killed inside the Pool's task queue leaves the queue's lock held,
and the whole Pool hangs permanently, `terminate()` included. So the task queue is never used: the workers serve inside
the Pool's *initializer*, which does not return while the crawl lasts. It makes a socket pair and sends one end to the
parent (over one datagram socket that all workers inherit). End of file there means that the worker is gone. The Pool's
own supervision starts a new worker, which connects in the same way, and the Crawl orders the lost URLs again.

Workers start from a fork server, so no thread, lock or connection of the parent crosses a fork. They ignore SIGINT and
SIGTERM (the parent drains) and end with their parent: the pipe closes, and the kernel kills them (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from multiprocessing import active_children, connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.pool import Pool
from multiprocessing.process import BaseProcess
from time import monotonic

import msgspec

from crawler.core.messages import Event, Failed, Fetch, Fetched
from crawler.core.reasons import NO_MEMORY, Ending, FetchErrorKind
from crawler.errors import CrawlerError, StorageError, WorkersLost
from crawler.fetch import SYNC_CLIENTS
from crawler.runtime.job import Job, cores
from crawler.system.memory import oom_kills
from crawler.system.threads import start_thread
from variants import client_of
from variants.pool_worker import ERROR, PoolSpec, encode_fetches, lateness_of, serve
from variants.pump import SIGNAL_POLL_S
from variants.pump import run as drive
from variants.worker_process import NO_MEMORY_EXIT, PRELOADED, kill, spawn_errors, start_fork_server

CLIENTS = SYNC_CLIENTS
CONCURRENCY = 32
START_PATIENCE = 60.0
CLOSE_PATIENCE = 5.0
LATE_START_PATIENCE = 1.0
EXIT_PATIENCE = 0.2
CRASHES = (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT)
MESSAGE_PATIENCE = struct.pack("@ll", 5, 0)
HUNG_SLACK = 1.0
FOREVER = float("inf")
MOST_DEATHS = 20
MOST_FAILED_STARTS = 4
START_CHECK_PERIOD = 0.1

_decode_landings = msgspec.msgpack.Decoder(list[Fetched | Failed]).decode


class PoolWorker:
    """The parent's view of one worker: the parent's end of the pipe and the open orders (fetch id -> when sent)."""

    def __init__(self, pipe: Connection, pid: int, process: BaseProcess | None) -> None:
        self.pipe = pipe
        self.pid = pid
        self.process = process
        self.orders: dict[int, float] = {}


class PoolWorkers:
    """A pool of processes as workers."""

    def __init__(self, job: Job, processes: int, threads: int) -> None:
        self._job = job
        self._processes = processes
        self._threads = threads
        self._seen: set[int | None] = set()
        self._lease = job.settings.lease
        self._workers: dict[Connection, PoolWorker] = {}
        self._connected = self._deaths = 0
        self._oom_kills = oom_kills()
        self._posted: deque[Event] = deque()
        self._hello, self._greeter = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._give_up_at = monotonic() + START_PATIENCE
        context = get_context("forkserver")
        context.set_forkserver_preload([PRELOADED])
        self._hear_of_dead_threads = threading.excepthook
        threading.excepthook = self._on_thread_death
        spec = PoolSpec(
            settings=job.settings,
            client=client_of(job.settings),
            threads=threads,
            folder=str(job.folder),
            shares=job.worker_shares,
        )
        with spawn_errors():
            start_fork_server()
            self._pool = _open_pool(context, processes, (self._greeter, msgspec.json.encode(spec)))

    @property
    def room(self) -> int:
        """Number of free threads, over all workers."""
        return sum(max(0, self._threads - len(worker.orders)) for worker in self._workers.values())

    @property
    def in_flight(self) -> int:
        """Number of orders that have not landed, over all workers."""
        return sum(len(worker.orders) for worker in self._workers.values())

    def exchange(self, fetches: list[Fetch], until: float | None) -> list[Event]:
        """Send batches; wait until a worker answers, ends or connects."""
        self._send(fetches)
        hung_at = self._kill_hung()
        until = hung_at if until is None else min(until, hung_at)
        wait = min(SIGNAL_POLL_S, max(0.0, until - monotonic()))
        if not self._workers:
            wait = min(START_CHECK_PERIOD if wait is None else wait, START_CHECK_PERIOD)
        ready = connection.wait([self._hello, self._woken, *self._workers], wait)
        events: list[Event] = []
        for one in ready:
            if one is self._hello:
                self._accept()
            elif one == self._woken:
                os.read(self._woken, 4096)
            else:
                events += self._receive(self._workers[one])  # type: ignore[index]
        if not self._workers:
            self._check_starts()
        while self._posted:
            events.append(self._posted.popleft())
        return events

    def _send(self, fetches: list[Fetch]) -> None:
        """Give each fetch to the worker with the fewest orders; each worker gets its share in one message."""
        shares: dict[Connection, list[Fetch]] = {}
        now = monotonic()
        for fetch in fetches:
            worker = min(self._workers.values(), key=lambda one: len(one.orders))
            worker.orders[fetch.id] = now
            shares.setdefault(worker.pipe, []).append(fetch)
        for pipe, share in shares.items():
            try:
                pipe.send_bytes(encode_fetches(share))
            except OSError:
                continue  # it is gone: `_receive` reads the end of its pipe next and fails its orders

    def _receive(self, worker: PoolWorker) -> list[Event]:
        try:
            answer = worker.pipe.recv_bytes()
        except (EOFError, OSError):
            return self._reap(worker)
        if answer[:1] == ERROR:
            raise StorageError(answer[1:].decode())
        landings = _decode_landings(answer[1:])
        if any(isinstance(one, Fetched) or one.kind is not FetchErrorKind.RESOURCE_EXHAUSTED for one in landings):
            self._deaths = 0
        for landing in landings:
            worker.orders.pop(landing.id, None)
        return list(landings)

    def _check_starts(self) -> None:
        """End the crawl where workers exit before they connect, or do not connect in time.

        Raises CrawlerError, WorkersLost."""
        self._seen |= {process.pid for process in active_children()}
        if len(self._seen) - self._connected > 2 * self._processes + MOST_FAILED_STARTS:
            raise CrawlerError(
                "worker processes die while they start; a program that uses mode 'processes' must be a file that does "
                'its work under `if __name__ == "__main__":`'
            )
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

    def _on_thread_death(self, died: threading.ExceptHookArgs) -> None:
        """Suppress the traceback of the Pool's supervising thread: `_check_supervision` reports it in one line."""
        if died.thread is None or died.thread is not getattr(self._pool, "_worker_handler", None):
            self._hear_of_dead_threads(died)

    def _reap(self, worker: PoolWorker) -> list[Event]:
        """Fail the orders of a worker that is gone. Raises WorkersLost after MOST_DEATHS without a landing between."""
        self._deaths += 1
        if self._deaths >= MOST_DEATHS:
            raise WorkersLost(
                f"{MOST_DEATHS} worker processes died one after another and fetched nothing; "
                "try --mode threads, which shows why (out of memory? killed from outside?)"
            )
        of_memory = self._died_of_memory(worker)  # before the kill, which would hide its own exit code
        self._kill(worker)
        self._check_supervision()
        del self._workers[worker.pipe]
        worker.pipe.close()
        self._give_up_at = monotonic() + START_PATIENCE
        if of_memory:
            detail = f"{NO_MEMORY} (worker process {worker.pid} died of it)"
            return [Failed(lease, FetchErrorKind.RESOURCE_EXHAUSTED, detail) for lease in worker.orders]
        return [
            Failed(lease, FetchErrorKind.LEASE_EXPIRED, f"worker process {worker.pid} died") for lease in worker.orders
        ]

    def _died_of_memory(self, worker: PoolWorker) -> bool:
        """Whether its exit status says so, or it got SIGKILL and the kernel's count of OOM kills has risen. Where the
        address space is bounded (ulimit -v) a crash counts too: libraries use memory that malloc refused them."""
        kills, self._oom_kills = self._oom_kills, oom_kills()
        if worker.process is None:
            return False
        worker.process.join(EXIT_PATIENCE)
        code = worker.process.exitcode
        if code in CRASHES:
            return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
        return code == NO_MEMORY_EXIT or (code == -signal.SIGKILL and self._oom_kills > kills)

    def _kill_hung(self) -> float:
        """Kill workers that hold an order for almost a whole lease: they are stopped or stuck. This must be before the
        lease ends, or the Crawl would give the same order to the same worker. Returns when to check again."""
        patience = self._lease - min(HUNG_SLACK, self._lease / 10)
        look_at = FOREVER
        for worker in self._workers.values():
            if worker.orders:
                hung_at = next(iter(worker.orders.values())) + patience
                if hung_at <= monotonic():
                    self._kill(worker)
                else:
                    look_at = min(look_at, hung_at)
        return look_at

    def _kill(self, worker: PoolWorker) -> None:
        """Kill a worker's process if the Pool still lists it; the Pool drops a process that has ended."""
        for process in list(self._pool._pool):  # type: ignore[attr-defined]
            if process.pid == worker.pid:
                kill(process)

    def _accept(self) -> None:
        """Connect a new worker: receive its process id and one end of a pipe, send the name of its part."""
        message, descriptors, _, _ = socket.recv_fds(self._hello, 64, 1)
        line = socket.socket(fileno=descriptors[0])
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # a worker stopped in mid-message must not block us
            line.setsockopt(socket.SOL_SOCKET, option, MESSAGE_PATIENCE)
        pid = int(message)
        process = next((one for one in self._pool._pool if one.pid == pid), None)  # type: ignore[attr-defined]
        worker = PoolWorker(Connection(line.detach()), pid, process)
        self._connected += 1
        try:
            worker.pipe.send_bytes(self._job.part(self._connected).encode())
        except OSError:
            worker.pipe.close()
            return
        self._workers[worker.pipe] = worker

    def post(self, event: Event) -> None:
        """Queue an event, from any thread or signal handler; ends the wait."""
        self._posted.append(event)
        self.wake()

    def wake(self) -> None:
        """End the wait."""
        with suppress(OSError):  # full of wake-ups already, or closed
            os.write(self._waker, b"\0")

    def close(self) -> None:
        """Ask every worker to close its part and end; kill those still running after CLOSE_PATIENCE seconds."""
        self._pool.close()  # first, so that no worker is replaced from here on
        for pipe in self._workers:
            try:
                pipe.send_bytes(b"")
            except OSError:
                continue
        give_up_at = monotonic() + CLOSE_PATIENCE
        while self._workers and (left := give_up_at - monotonic()) > 0:
            for ready in connection.wait(list(self._workers), left):
                self._drain(self._workers[ready])  # type: ignore[index]
        for worker in self._workers.values():
            self._kill(worker)
        self._dissolve_pool()
        threading.excepthook = self._hear_of_dead_threads
        self._greeter.close()
        self._hello.close()
        waker, self._waker = self._waker, -1  # a late signal must not write into the next file with this number
        os.close(waker)
        os.close(self._woken)

    def _dissolve_pool(self) -> None:
        """Wait until the Pool has ended; refuse workers that connect too late. The sockets may be closed only then: the
        Pool's own thread may be starting a process that inherits one, and `join` waits for that thread without limit.
        """
        try:
            joining = start_thread(self._pool.join, "pool-join")
        except RuntimeError:  # no thread can be started: kill the workers
            self._kill_all()
            raise
        give_up_at = monotonic() + LATE_START_PATIENCE
        while joining.is_alive() and monotonic() < give_up_at + CLOSE_PATIENCE:
            if monotonic() >= give_up_at:
                self._kill_all()  # one was stopped before it connected, so its pid is not known
            if connection.wait([self._hello], 0.02):
                _, descriptors, _, _ = socket.recv_fds(self._hello, 64, 1)
                for descriptor in descriptors:
                    os.close(descriptor)

    def _kill_all(self) -> None:
        for process in list(self._pool._pool):  # type: ignore[attr-defined]
            kill(process)

    def _drain(self, worker: PoolWorker) -> None:
        try:
            if lateness := lateness_of(worker.pipe.recv_bytes()):
                self._job.recorder.stats.lateness.merge(lateness)
        except (EOFError, OSError):
            del self._workers[worker.pipe]
            worker.pipe.close()


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


def run(job: Job) -> Ending:
    """Run a job on processes."""
    settings = job.settings
    processes = settings.processes or cores()
    concurrency = settings.concurrency or CONCURRENCY
    threads = settings.threads_per_process or -(-concurrency // processes)
    threads = min(threads, job.limit_concurrency(max(threads, processes)))
    workers = PoolWorkers(job, processes, threads)
    try:
        job.attach(workers)
        try:
            return drive(job.crawl, workers, job.recorder, job.initial_events())
        finally:
            job.recorder.close()
    finally:
        workers.close()
