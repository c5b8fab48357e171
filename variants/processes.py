"""`processes`: Master-Worker on `multiprocessing.Pool`. The parent decides; each worker fetches, parses and stores
pages.

Fetches and their results travel in batches over one pipe per worker. Bodies do not: a worker writes its pages to its
own part and flushes it before it answers. A Pool worker that fetches one page at a time would allow only P fetches in
flight, so each runs a pool of threads (`--threads-per-process`).

Workers start from a fork server, so no thread, lock or connection of the parent crosses a fork. They ignore SIGINT and
SIGTERM (the parent drains) and end with their parent: the pipe closes, and the kernel kills them (PR_SET_PDEATHSIG).
The fetches of a worker that is gone fail, and the Crawl orders their URLs again.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing, suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from time import monotonic

import msgspec

from crawler.core.messages import Event, Failed, Fetch, Fetched
from crawler.core.reasons import NO_MEMORY, Ending, FetchErrorKind
from crawler.errors import StorageError
from crawler.fetch import SYNC_CLIENTS
from crawler.runtime.job import Job, cores
from variants import client_of
from variants.pool_worker import ERROR, PoolSpec, encode_fetches, lateness_of
from variants.pump import SIGNAL_POLL_S
from variants.pump import run as drive
from variants.supervision import FOREVER, DeathCount, kill_overdue
from variants.waker import Waker
from variants.worker_pool import CLOSE_PATIENCE, PoolWorker, WorkerPool
from variants.worker_process import kill

CLIENTS = SYNC_CLIENTS
CONCURRENCY = 32
HUNG_SLACK = 1.0
MOST_DEATHS = 20
START_CHECK_PERIOD = 0.1

_decode_landings = msgspec.msgpack.Decoder(list[Fetched | Failed]).decode


class PoolWorkers:
    """A pool of processes as workers, `threads` in each, and at most so many fetches in flight in all."""

    def __init__(self, job: Job, processes: int, threads: int, most: int) -> None:
        self._job = job
        self._threads = threads
        self._most = most
        self._patience = job.settings.lease - min(HUNG_SLACK, job.settings.lease / 10)
        self._workers: dict[Connection, PoolWorker] = {}
        self._deaths = DeathCount(MOST_DEATHS, simpler_mode="threads")
        self._posted: deque[Event] = deque()
        spec = PoolSpec(job.settings, client_of(job.settings), threads, str(job.folder), job.seed, job.worker_shares)
        self._pool = WorkerPool(processes, spec)
        self._waker = Waker()

    @property
    def room(self) -> int:
        """Number of free threads, over all workers, as far as `most` allows."""
        free = sum(max(0, self._threads - len(worker.orders)) for worker in self._workers.values())
        return max(0, min(free, self._most - self.in_flight))

    @property
    def in_flight(self) -> int:
        """Number of orders without a result, over all workers."""
        return sum(len(worker.orders) for worker in self._workers.values())

    def exchange(self, fetches: list[Fetch], until: float | None) -> list[Event]:
        """Send batches; wait until a worker answers, ends or connects."""
        self._send(fetches)
        due = kill_overdue(self._workers.values())
        wait = min(SIGNAL_POLL_S, max(0.0, min(due, FOREVER if until is None else until) - monotonic()))
        if not self._workers:
            wait = min(wait, START_CHECK_PERIOD)
        events: list[Event] = []
        for ready in connection.wait([self._pool.greeting, self._waker.fileno(), *self._workers], wait):
            if ready is self._pool.greeting:
                self._accept()
            elif ready == self._waker.fileno():
                self._waker.clear()
            else:
                events += self._receive(self._workers[ready])  # type: ignore[index]
        if not self._workers:
            self._pool.check_starts()
        while self._posted:
            events.append(self._posted.popleft())
        return events

    def _accept(self) -> None:
        """Connect a new worker and send it the name of its part."""
        number, pid, pipe = self._pool.accept()
        try:
            pipe.send_bytes(self._job.part(number).encode())
        except OSError:
            pipe.close()
            return
        self._workers[pipe] = PoolWorker(self._pool, pid, pipe, self._patience)

    def _send(self, fetches: list[Fetch]) -> None:
        """Give each fetch to the worker with the fewest orders; each worker gets its share in one message."""
        shares: dict[Connection, list[Fetch]] = {}
        now = monotonic()
        for fetch in fetches:
            worker = min(self._workers.values(), key=lambda one: len(one.orders))
            worker.orders[fetch.id] = now
            shares.setdefault(worker.pipe, []).append(fetch)
        for pipe, share in shares.items():
            with suppress(OSError):  # it is gone: `_receive` reads the end of its pipe next and fails its orders
                pipe.send_bytes(encode_fetches(share))

    def _receive(self, worker: PoolWorker) -> list[Event]:
        try:
            answer = worker.pipe.recv_bytes()
        except (EOFError, OSError):
            return self._reap(worker)
        if answer[:1] == ERROR:
            raise StorageError(answer[1:].decode())
        landings = _decode_landings(answer[1:])
        if any(isinstance(one, Fetched) or one.kind is not FetchErrorKind.RESOURCE_EXHAUSTED for one in landings):
            self._deaths.progressed()
        for landing in landings:
            worker.orders.pop(landing.id, None)
        return list(landings)

    def _reap(self, worker: PoolWorker) -> list[Event]:
        """Fail the orders of a worker that is gone. Raises WorkersLost."""
        self._deaths.died()
        kind, detail = FetchErrorKind.LEASE_EXPIRED, f"worker process {worker.pid} died"
        if self._deaths.died_of_memory(worker.process):  # before the kill, which would hide its own exit status
            kind, detail = FetchErrorKind.RESOURCE_EXHAUSTED, f"{NO_MEMORY} (worker process {worker.pid} died of it)"
        if worker.process is not None:
            kill(worker.process)
        del self._workers[worker.pipe]
        worker.pipe.close()
        self._pool.expect_worker()
        return [Failed(order, kind, detail) for order in worker.orders]

    def post(self, event: Event) -> None:
        """Queue an event, from any thread or signal handler; ends the wait."""
        self._posted.append(event)
        self.wake()

    def wake(self) -> None:
        """End the wait."""
        self._waker.wake()

    def close(self) -> None:
        """Ask every worker to close its part and end; kill those still running after CLOSE_PATIENCE seconds."""
        self._pool.stop_replacing()
        for pipe in self._workers:
            with suppress(OSError):
                pipe.send_bytes(b"")
        give_up_at = monotonic() + CLOSE_PATIENCE
        while self._workers and (left := give_up_at - monotonic()) > 0:
            for ready in connection.wait(list(self._workers), left):
                self._drain(self._workers[ready])  # type: ignore[index]
        for worker in self._workers.values():
            if worker.process is not None:
                kill(worker.process)
        try:
            self._pool.close()
        finally:
            self._waker.close()

    def _drain(self, worker: PoolWorker) -> None:
        try:
            if lateness := lateness_of(worker.pipe.recv_bytes()):
                self._job.stats.lateness.merge(lateness)
        except (EOFError, OSError):
            del self._workers[worker.pipe]
            worker.pipe.close()


def run(job: Job) -> Ending:
    """Run a job on processes. Raises StorageError, WorkersLost."""
    settings = job.settings
    processes, most = settings.processes or cores(), settings.concurrency or CONCURRENCY
    threads = settings.threads_per_process or -(-most // processes)
    threads = min(threads, job.limit_concurrency(max(threads, processes)))
    most = processes * threads if settings.threads_per_process else most
    with closing(PoolWorkers(job, processes, threads, most)) as workers:
        job.attach(workers)
        with closing(job.recorder):
            return drive(job.crawl, workers, job.recorder, job.initial_events())
