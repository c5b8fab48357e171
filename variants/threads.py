"""`threads`: N threads with a session each, queue in, queue out; the main thread decides.

One queue with one reader is all the synchronisation that deciding needs. With a monitor (every thread calls `step`
under a lock) a thread can sleep past an earlier wake-up that another thread has just created. The GIL is released while
a thread waits for the network, and inside libcurl, zstd, SQLite and the hashes; parsing holds it.
"""

from __future__ import annotations

from contextlib import closing
from queue import Empty
from time import monotonic

from crawler.core.messages import Event, Failed, Fetch, Fetched
from crawler.core.reasons import Ending
from crawler.errors import CrawlerError
from crawler.fetch import SYNC_CLIENTS
from crawler.metrics.heartbeat import measure_lag
from crawler.runtime.job import Job, open_processor
from variants import client_of
from variants.pump import SIGNAL_POLL_S
from variants.pump import run as drive
from variants.thread_pool import FetchThreadPool

CLIENTS = SYNC_CLIENTS
CONCURRENCY = 32


class ThreadWorkers:
    """A pool of threads as workers."""

    def __init__(self, pool: FetchThreadPool, size: int) -> None:
        self._pool = pool
        self._size = size
        self._in_flight = 0

    @property
    def room(self) -> int:
        """Number of free threads."""
        return self._size - self._in_flight

    @property
    def in_flight(self) -> int:
        """Number of orders that have not landed."""
        return self._in_flight

    def exchange(self, fetches: list[Fetch], until: float | None) -> list[Event]:
        """Queue the fetches, wait for the first landing, then take all that are queued."""
        for fetch in fetches:
            self._pool.order(fetch)
        self._in_flight += len(fetches)
        events: list[Event] = []
        wait = SIGNAL_POLL_S if until is None else min(SIGNAL_POLL_S, max(0.0, until - monotonic()))
        try:
            self._take(self._pool.landings.get(timeout=wait), events)
            while True:
                self._take(self._pool.landings.get_nowait(), events)
        except Empty:
            return events

    def _take(self, landing: Event | CrawlerError | None, events: list[Event]) -> None:
        if isinstance(landing, CrawlerError):
            raise landing
        if landing is not None:
            self._in_flight -= isinstance(landing, Fetched | Failed)
            events.append(landing)

    def post(self, event: Event) -> None:
        """Queue an event, from any thread or signal handler (`SimpleQueue.put` is reentrant)."""
        self._pool.landings.put(event)

    def wake(self) -> None:
        """End the wait."""
        self._pool.landings.put(None)


def run(job: Job) -> Ending:
    """Run a job on threads of this process. The recorder closes before the writer, because it flushes the writer."""
    settings = job.settings
    size = job.limit_concurrency(settings.concurrency or CONCURRENCY)
    with (
        closing(job.writer()) as writer,
        closing(job.recorder),
        closing(open_processor(settings, job.scope, job.shares, job.folder)) as reader,
        closing(FetchThreadPool(size, client_of(settings), settings.client_plan(1), reader, writer)) as pool,
    ):
        workers = ThreadWorkers(pool, pool.size)
        job.attach(workers)
        with measure_lag(settings.heartbeat, job.stats.lateness):
            return drive(job.crawl, workers, job.recorder, job.initial_events())
