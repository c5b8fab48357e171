"""N threads that fetch: the part that `threads` and each process of `processes` have in common.

What is shared among the threads, and how:
- Orders and landings cross by two `SimpleQueue`s, which lock inside; nobody holds a lock while it waits for the
  network.
- The HTTP session is not shared: it lives in a `threading.local`, so each thread makes its own with its first fetch and
  keeps its connections. (One shared session would need a lock around every fetch, or break.)
- The writer is shared, one part for all threads: an explicit `Lock` guards `put`. Without it two threads could take the
  same position, the classic lost update.
- Everything else is decided by the one thread that runs the Crawl, so it needs no lock at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from queue import SimpleQueue
from time import monotonic, sleep

from crawler.core.messages import Event, Fetch
from crawler.errors import CrawlerError, OutOfMemory
from crawler.fetch import open_fetcher
from crawler.fetch.base import ClientPlan, Fetcher
from crawler.fetch.exhaustion import is_resource_exhausted
from crawler.pipeline.visit import PageProcessor, failed, visit
from crawler.storage.pages.base import Writer
from crawler.system.memory_shortage import despite_shortage
from crawler.system.threads import start_thread

PATIENCE = 1.0
DELIVERY_REST = 0.05
ARENAS = 2
M_ARENA_MAX = -8


class FetchThreadPool:
    """Threads between two queues. `landings` carry events, a CrawlerError that ends all, None to wake the reader."""

    def __init__(self, size: int, client: str, plan: ClientPlan, reader: PageProcessor, writer: Writer) -> None:
        self.landings: SimpleQueue[Event | CrawlerError | None] = SimpleQueue()
        self._orders: SimpleQueue[Fetch | None] = SimpleQueue()
        self._client = client
        self._plan = plan
        self._reader = reader
        self._writer = writer
        self._writer_lock = threading.Lock()
        self._local = threading.local()
        self._fetchers: list[Fetcher] = []
        share_arenas()
        self._threads: list[threading.Thread] = []
        try:
            for number in range(size):
                self._threads.append(start_thread(self._work, f"fetcher-{number}"))
        except (RuntimeError, MemoryError) as error:
            if not self._threads:
                raise CrawlerError(f"cannot start a thread ({error}); raise the limit (ulimit -u)") from error

    @property
    def size(self) -> int:
        """How many threads there are: fewer than were asked for where the system allows no more."""
        return len(self._threads)

    def order(self, fetch: Fetch) -> None:
        """Hand a fetch to whichever thread is free first."""
        self._orders.put(fetch)

    def close(self) -> None:
        """End all threads; what is still in flight is given up."""
        for _ in self._threads:
            self._orders.put(None)
        for fetcher in list(self._fetchers):
            fetcher.abort()
        give_up_at = monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - monotonic()))

    def _work(self) -> None:
        while (fetch := self._orders.get()) is not None:
            self._deliver(self._visit(fetch))
        if hasattr(self._local, "fetcher"):
            self._local.fetcher.close()

    def _deliver(self, landing: Event | CrawlerError) -> None:
        """Hand in what became of an order, however long there is no memory for it: nobody else would."""
        while True:
            try:
                self.landings.put(landing)
                return
            except MemoryError:
                sleep(DELIVERY_REST)

    def _visit(self, fetch: Fetch) -> Event | CrawlerError:
        try:
            session = self._session()
        except CrawlerError as error:
            return error
        except Exception as error:  # not from a page: where it is not want of something, no fetch can work here
            if is_resource_exhausted(error):
                cause = error
                return despite_shortage(lambda: failed(fetch, cause, 0.0))
            return CrawlerError(f"cannot fetch at all: {type(error).__name__}: {error}")
        try:
            return visit(fetch, session, self._reader, self._writer, self._writer_lock)
        except CrawlerError as error:
            return error
        except MemoryError:
            return OutOfMemory()
        except Exception as error:
            return CrawlerError(f"cannot fetch at all: {type(error).__name__}: {error}")

    def _session(self) -> Fetcher:
        """The session of this very thread."""
        if not hasattr(self._local, "fetcher"):
            fetcher = open_fetcher(self._client, self._plan)
            self._local.fetcher = fetcher
            self._fetchers.append(fetcher)
        return self._local.fetcher  # type: ignore[no-any-return]


def share_arenas() -> None:
    """Let the threads share a few malloc arenas: glibc gives each its own, and bodies that wander from thread to thread
    leave every one of them full of holes (measured: 240 MB without, 150 MB with, and no slower). Other C libraries do
    without."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
