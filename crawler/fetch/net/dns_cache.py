"""DNS resolver with a cache, shared by all clients of a process, on threads of its own.

Rules:
- The system resolves names (`getaddrinfo`: hosts file, DNS, whatever is configured), which blocks, cannot be cancelled
  and may take half a minute. So every lookup has a thread; there are at most THREADS, and idle ones end.
- A name has one lookup at a time, shared by all waiting fetches. Each waits until `deadline` seconds after its start.
- A worker that waits for a name does nothing else, and a thousand dead names would block all of them. So a fetch waits
  AT_ONCE seconds, then fails with `LookupPending` while the lookup goes on; the Crawl retries later, in the end with
  `wait_for_dns` until the deadline. With more than CROWD lookups pending, a fetch waits at most BUSY_WAIT seconds.
- Addresses are cached for TTL seconds, the absence of a name for MISSING_TTL, any other failure for as long as the
  lookup took (at most MISSING_TTL): a name that fails slowly is not retried at once, one that fails fast is.
- The answers are only candidates: the guard checks each address when its socket is made.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from crawler.system.threads import start_thread

TTL = 300.0
MISSING_TTL = 60.0
AT_ONCE = 0.5
BUSY_WAIT = 0.05
CROWD = 8
THREADS = 1_024
KEPT = 10_000
_IDLE = 5.0
_MISSING = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


class Unanswered(OSError):
    """A lookup that did not finish before its deadline."""


class LookupPending(OSError):
    """A lookup that still runs after the time that this fetch may wait."""


class _Lookup:
    """A lookup of one name, and then its cached answer, valid until `good_until` (monotonic seconds)."""

    __slots__ = ("answer", "asked_at", "good_until", "name")

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.asked_at = now
        self.good_until = float("inf")
        self.answer: Future[tuple[str, ...] | socket.gaierror] = Future()
        self.answer.set_running_or_notify_cancel()  # a waiting fetch may give up; the lookup goes on

    def left(self, deadline: float) -> float:
        """Seconds until `deadline` seconds after the lookup began."""
        return max(0.0, self.asked_at + deadline - time.monotonic())

    def unanswered(self, deadline: float, wait_for_dns: bool) -> LookupPending | Unanswered:
        """The error for a fetch that has waited long enough."""
        if self.left(deadline) and not wait_for_dns:
            return LookupPending(f"{self.name}: no answer yet")
        return Unanswered(f"{self.name}: no answer within {min(deadline, time.monotonic() - self.asked_at):.1f} s")


class DnsCache:
    """A caching resolver for any number of threads and event loops."""

    def __init__(self, threads: int = THREADS) -> None:
        self._most = threads
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Lookup] = OrderedDict()
        self._orders: SimpleQueue[_Lookup] = SimpleQueue()
        self._threads = self._busy = 0

    def find(self, name: str, deadline: float, wait_for_dns: bool = True) -> tuple[str, ...]:
        """The addresses of a name whose lookup may take `deadline` seconds. Raises OSError, LookupPending or
        Unanswered."""
        lookup = self._look_up(name)
        try:
            return _addresses_of(lookup.answer.result(self._wait(lookup, deadline, wait_for_dns)))
        except TimeoutError:
            raise lookup.unanswered(deadline, wait_for_dns) from None

    async def afind(self, name: str, deadline: float, wait_for_dns: bool = True) -> tuple[str, ...]:
        """`find` on an event loop."""
        lookup = self._look_up(name)
        if lookup.answer.done():
            return _addresses_of(lookup.answer.result())
        try:
            async with asyncio.timeout(self._wait(lookup, deadline, wait_for_dns)):
                return _addresses_of(await asyncio.wrap_future(lookup.answer))
        except TimeoutError:
            raise lookup.unanswered(deadline, wait_for_dns) from None

    def _wait(self, lookup: _Lookup, deadline: float, wait_for_dns: bool) -> float:
        """Seconds to wait for an answer."""
        if self._busy > CROWD:
            return lookup.left(min(deadline, BUSY_WAIT))
        return lookup.left(deadline if wait_for_dns else min(deadline, AT_ONCE))

    def _look_up(self, name: str) -> _Lookup:
        """The lookup of this name that is running or still valid, else a new one."""
        now = time.monotonic()
        with self._lock:
            lookup = self._known.get(name)
            if lookup is None or lookup.good_until <= now:
                lookup = self._known[name] = _Lookup(name, now)
                if len(self._known) > KEPT:
                    self._known.popitem(last=False)
                self._orders.put(lookup)
                self._busy += 1
                if self._busy > self._threads and self._threads < self._most:
                    self._threads += 1
                    try:
                        start_thread(self._work, "names")
                    except (RuntimeError, MemoryError):
                        self._threads -= 1
                        if not self._threads:  # other threads would take it, but there are none
                            self._busy -= 1
                            self._orders.get_nowait()
                            del self._known[name]
                            raise
            self._known.move_to_end(name)
            return lookup

    def _work(self) -> None:
        while True:
            try:
                lookup = self._orders.get(timeout=_IDLE)
            except Empty:
                with self._lock:
                    if self._busy >= self._threads:  # an order has just come in
                        continue
                    self._threads -= 1
                    return
            _answer(lookup)
            with self._lock:
                self._busy -= 1


def _answer(lookup: _Lookup) -> None:
    """Ask the system resolver, and set how long the answer is valid."""
    started = time.monotonic()
    answer: tuple[str, ...] | socket.gaierror
    try:
        found = socket.getaddrinfo(lookup.name, None, type=socket.SOCK_STREAM)
        answer, belief = tuple(dict.fromkeys(str(address[0]) for *_, address in found)), TTL
    except UnicodeError as error:  # no name of the DNS: a label is empty or too long
        answer, belief = socket.gaierror(socket.EAI_NONAME, str(error)), MISSING_TTL
    except OSError as error:
        answer = socket.gaierror(*error.args)
        belief = MISSING_TTL if error.errno in _MISSING else min(time.monotonic() - started, MISSING_TTL)
    except MemoryError:
        answer, belief = socket.gaierror(socket.EAI_MEMORY, "no memory to look it up"), 0.0
    lookup.good_until = time.monotonic() + belief
    lookup.answer.set_result(answer)


def _addresses_of(answer: tuple[str, ...] | socket.gaierror) -> tuple[str, ...]:
    """The addresses. Raises a new copy of a failure: one instance raised repeatedly would grow its traceback."""
    if isinstance(answer, socket.gaierror):
        raise socket.gaierror(*answer.args)
    return answer


NAMES = DnsCache()
