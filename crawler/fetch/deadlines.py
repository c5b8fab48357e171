"""How the deadlines of blocking clients are enforced (which they are: crawler/fetch/http1/deadlines.py).

Blocking clients share one daemon thread per process, which shuts down the sockets of overdue fetches: the blocked read
then returns. (libcurl's progress callback would do it without a thread, but takes the GIL some ten times per fetch:
with 16 threads it tripled the CPU time of a page.)
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import FetchError, Limits, Request, Response
from crawler.fetch.http1.deadlines import FetchTimer, tick
from crawler.fetch.http1.request import check_url
from crawler.system.threads import start_thread

SHORT_REST = 0.1
"""Seconds that the sweeper sleeps after a MemoryError."""


class BlockingFetcher(ABC):
    """Base of the blocking clients: one fetch at a time, deadlines kept by the sweeper, `abort` from any thread."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = (
            threading.Lock()
        )  # a flight begins, is swept and aborted under it, so that no sweep hits the next one
        self._flight: FetchTimer | None = None
        self._aborted = False
        SWEEPER.add(self)

    def fetch(self, request: Request) -> Response:
        """Send one request. Raises FetchError; of kind LEASE_EXPIRED where the fetcher was aborted."""
        check_url(request.url)
        flight = FetchTimer(time.monotonic())
        with self._lock:
            if self._aborted:
                raise FetchError(FetchErrorKind.LEASE_EXPIRED, "aborted")
            self._flight = flight
        try:
            response = self._ask(request, flight)
        except FetchError:
            if flight.ended == "aborted":
                raise FetchError(FetchErrorKind.LEASE_EXPIRED, "aborted") from None
            if flight.ended:
                raise FetchError(FetchErrorKind.TIMEOUT, flight.ended) from None
            raise
        finally:
            self._flight = None
        if flight.ended == "aborted" and response.truncated:
            raise FetchError(FetchErrorKind.LEASE_EXPIRED, "aborted")
        return response

    def sweep(self, now: float) -> None:
        """End the fetch if it is overdue."""
        with self._lock:
            flight = self._flight
            if flight is not None and not flight.ended and (reason := flight.overdue(self.limits, now)):
                flight.ended = reason
                self._cut()

    def abort(self) -> None:
        """End the running fetch, as soon as its connection is open, and refuse all later ones. From any thread."""
        with self._lock:
            self._aborted = True
            if self._flight is not None:
                self._flight.ended = "aborted"
                self._cut()

    def close(self) -> None:
        """Close its connections."""
        SWEEPER.remove(self)
        self._close()

    @abstractmethod
    def _ask(self, request: Request, flight: FetchTimer) -> Response:
        """One request and its response; keeps `head_at` and `size` of the flight up to date."""

    @abstractmethod
    def _cut(self) -> None:
        """Shut down the sockets in use. Called from another thread, with the lock held."""

    @abstractmethod
    def _close(self) -> None:
        """Close its connections."""


class DeadlineSweeper:
    """The thread that enforces the deadlines of all blocking clients of a process; it runs while there are any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._fetchers: set[BlockingFetcher] = set()
        self._running = False

    def add(self, fetcher: BlockingFetcher) -> None:
        """Enforce the deadlines of this fetcher from now on."""
        with self._changed:
            self._fetchers.add(fetcher)
            self._changed.notify()
            if not self._running:
                try:
                    start_thread(self._run, "fetch-deadlines")
                except BaseException:
                    self._fetchers.discard(fetcher)
                    raise
                self._running = True

    def remove(self, fetcher: BlockingFetcher) -> None:
        """Stop enforcing them."""
        with self._changed:
            self._fetchers.discard(fetcher)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            try:
                if not self._sweep():
                    return
            except (MemoryError, RuntimeError):  # no memory, not even for a lock: no deadline holds without this thread
                time.sleep(SHORT_REST)

    def _sweep(self) -> bool:
        """Wait for a tick and check all fetches. False where no fetcher is left."""
        with self._changed:
            if not self._fetchers:
                self._running = False
                return False
            self._changed.wait(min(tick(fetcher.limits) for fetcher in self._fetchers))
            fetchers = list(self._fetchers)
        now = time.monotonic()
        for fetcher in fetchers:
            fetcher.sweep(now)
        return True


SWEEPER = DeadlineSweeper()
