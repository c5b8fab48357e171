"""A pool of N fetching threads, used by `threads` and by each process of `processes`.

What the threads share, and how:
- Orders and landings pass through two `SimpleQueue`s, which lock internally. No thread holds a lock while it waits for
  the network.
- The HTTP session is not shared: it is a `threading.local`, so each thread opens its own with its first fetch and
  keeps its connections. (One shared session would need a lock around every fetch, or break.)
- The writer is shared, one part for all threads: an explicit `Lock` guards `put`. Without it two threads could take the
  same position, the classic lost update.
- The thread that runs the Crawl decides everything else, so nothing else needs a lock.
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
from crawler.pipeline.page_processor import PageProcessor
from crawler.pipeline.visit import failed, visit
from crawler.storage.pages.base import Writer
from crawler.system.memory_shortage import despite_shortage
from crawler.system.threads import start_thread

PATIENCE = 1.0
DELIVERY_REST = 0.05
ARENAS = 2
M_ARENA_MAX = -8


class FetchThreadPool:
    """Threads between two queues. `landings` carries events, a CrawlerError that ends the crawl, and None, which wakes
    the reader. Raises CrawlerError where no thread can be started."""

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
        """Number of threads: fewer than requested where the system allows no more."""
        return len(self._threads)

    def order(self, fetch: Fetch) -> None:
        """Queue a fetch for the next free thread."""
        self._orders.put(fetch)

    def close(self) -> None:
        """Abort the fetches in flight and end all threads; wait at most PATIENCE seconds for them."""
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
        """Queue a landing, retrying without limit while memory is short: a lost landing would keep its slot."""
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
        except Exception as error:  # not from a page: unless a resource is exhausted, no fetch can work here
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
        """The session of the current thread."""
        if not hasattr(self._local, "fetcher"):
            fetcher = open_fetcher(self._client, self._plan)
            self._local.fetcher = fetcher
            self._fetchers.append(fetcher)
        return self._local.fetcher  # type: ignore[no-any-return]


def share_arenas() -> None:
    """Limit glibc to ARENAS malloc arenas. By default threads get their own, and bodies that pass from thread to thread
    fragment all of them (measured: 240 MB without, 150 MB with, and no slower). Does nothing on other C libraries."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
