"""Names become addresses: one system resolver for all clients of a process, in threads of its own.

Rules:
- The system looks names up (`getaddrinfo`: hosts file, DNS, whatever it is set up for), which blocks, cannot be called
  off, and may take half a minute. So every lookup has a thread; there are at most THREADS, and idle ones end.
- A name is looked up once at a time, whoever waits. Nobody waits longer than the patience counted from when the lookup
  began: the second who asks for a slow name is told at once, so slow names hold up one fetch each, not one per attempt.
  The lookup itself goes on, and what it finds is there for the next attempt.
- Answers are believed for TTL seconds; that a name does not exist for MISSING_TTL; any other failure for as long as it
  took to learn, so that a name which fails slowly is not asked for without a pause, and one that fails fast is.
- The answers are only candidates: the guard judges each address when its socket is made.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from queue import Empty, SimpleQueue

TTL = 300.0
MISSING_TTL = 60.0
THREADS = 256
KEPT = 10_000
_IDLE = 5.0
_MISSING = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


class Unanswered(OSError):
    """A lookup that nobody could wait for."""


class _Lookup:
    """One name on its way to its addresses, and then the answer, to be believed until `good_until` (monotonic)."""

    __slots__ = ("answer", "asked_at", "good_until", "name")

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.asked_at = now
        self.good_until = float("inf")
        self.answer: Future[tuple[str, ...]] = Future()
        self.answer.set_running_or_notify_cancel()  # those who wait may give up; the lookup goes on

    def too_late(self, patience: float) -> Unanswered:
        """What is told to those whose patience is over."""
        return Unanswered(f"{self.name}: no answer within {patience:g} s")


class Names:
    """A resolver for any number of threads and event loops."""

    def __init__(self, threads: int = THREADS) -> None:
        self._most = threads
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Lookup] = OrderedDict()
        self._orders: SimpleQueue[_Lookup] = SimpleQueue()
        self._threads = self._busy = 0

    def find(self, name: str, patience: float) -> tuple[str, ...]:
        """The addresses of a name, waiting for `patience` seconds at most. Raises OSError."""
        lookup = self._look_up(name)
        try:
            return lookup.answer.result(max(0.0, lookup.asked_at + patience - time.monotonic()))
        except TimeoutError:
            raise lookup.too_late(patience) from None

    async def afind(self, name: str, patience: float) -> tuple[str, ...]:
        """`find` on an event loop."""
        lookup = self._look_up(name)
        if lookup.answer.done():
            return lookup.answer.result()
        try:
            async with asyncio.timeout(max(0.0, lookup.asked_at + patience - time.monotonic())):
                return await asyncio.wrap_future(lookup.answer)
        except TimeoutError:
            raise lookup.too_late(patience) from None

    def _look_up(self, name: str) -> _Lookup:
        """The lookup of this name that is under way or believed, else a new one."""
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
                    threading.Thread(target=self._work, name="names", daemon=True).start()
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
    """Ask the system, and say how long the answer is believed."""
    started = time.monotonic()
    try:
        found = socket.getaddrinfo(lookup.name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # no name of the DNS: a label is empty or too long
        now = time.monotonic()
        missing = isinstance(error, UnicodeError) or error.errno in _MISSING
        lookup.good_until = now + (MISSING_TTL if missing else min(now - started, MISSING_TTL))
        failure = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, str(error))
        lookup.answer.set_exception(failure)
    else:
        lookup.good_until = time.monotonic() + TTL
        lookup.answer.set_result(tuple(dict.fromkeys(str(address[0]) for *_, address in found)))


NAMES = Names()
