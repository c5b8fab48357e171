"""The connections of the asynchronous native client: an asyncio protocol, and a pool of them.

Rules:
- A connection hands its bytes to the exchange in progress. Bytes that come while there is none were not asked for: the
  connection is closed. Before the first request they are kept, and are then the begin of its response: a server that
  speaks first does not speak HTTP.
- At most `most` connections are open or being opened. A new one closes the one that was idle for longest; where none is
  idle, it waits.
- Connections are aborted, not shut down: a server that reads nothing cannot hold them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import cast

from crawler.core.reasons import NO_MEMORY, FetchErrorKind
from crawler.fetch.base import KEEPALIVE_S, FetchError, one_line
from crawler.fetch.exhaustion import lacks_memory
from crawler.fetch.http1.exchange import Exchange
from crawler.fetch.http1.request import Origin


class NativeConnection(asyncio.Protocol):
    """A connection to one origin. `on_close` is called when it has ended; `idle_since` in monotonic seconds."""

    __slots__ = (
        "_early",
        "_exchange",
        "_loop",
        "_max_early",
        "_on_close",
        "_transport",
        "_waiter",
        "address",
        "idle_since",
        "is_open",
        "origin",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        origin: Origin,
        on_close: Callable[[NativeConnection], None],
        max_early: int,
    ) -> None:
        self.origin = origin
        self.address = ""
        self.idle_since = 0.0
        self.is_open = True
        self._loop = loop
        self._on_close = on_close
        self._max_early = max_early
        self._early: bytes | None = b""  # None after the first request
        self._exchange: Exchange | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    async def run(self, message: bytes, exchange: Exchange) -> None:
        """Send a request and wait until its exchange has ended."""
        transport = self._transport
        assert transport is not None
        self._exchange = exchange
        self._waiter = self._loop.create_future()
        transport.write(message)
        early, self._early = self._early, None
        if early:
            self.data_received(early)
        if not self.is_open:
            self._end_of_stream("", broken=False)
        try:
            await self._waiter
        finally:
            self._exchange = self._waiter = None

    def check_deadlines(self, now: float, late: float) -> None:
        """End the exchange if it is overdue."""
        if self._exchange is not None and not self._exchange.ended and self._exchange.check_deadlines(now, late):
            self._wake()

    def abort(self) -> None:
        """Close it at once."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    # ---- called by the loop ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not subclass it
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""

    def data_received(self, data: bytes) -> None:
        """Hand the bytes to the exchange."""
        exchange = self._exchange
        if exchange is None:
            self._receive_unasked(data)
            return
        if exchange.ended:  # the fetch has not gone on yet: what comes now would be taken for the next response
            exchange.reusable = False
            return
        try:
            if exchange.receive(data, monotonic()):
                self._wake()
        except MemoryError:
            self._fail_of_memory(exchange)

    def eof_received(self) -> bool:
        """The server has ended the stream, under TLS with a close_notify."""
        self._end_of_stream("", broken=False)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """It has ended. Under TLS an end without a close_notify comes here first: the body may have been cut."""
        if error is not None and lacks_memory(error) and self._exchange is not None:
            self._fail_of_memory(self._exchange)
        self._end_of_stream("" if error is None else one_line(error), broken=True)
        self._on_close(self)

    def _receive_unasked(self, data: bytes) -> None:
        if self._early is None or len(self._early) > self._max_early:
            self.abort()
        else:
            self._early += data

    def _end_of_stream(self, detail: str, *, broken: bool) -> None:
        self.is_open = False
        if self._exchange is not None and not self._exchange.ended:
            self._exchange.end_of_stream(monotonic(), detail, broken=broken)
            self._wake()

    def _fail_of_memory(self, exchange: Exchange) -> None:
        if not exchange.ended:
            exchange.fail(FetchError(FetchErrorKind.RESOURCE_EXHAUSTED, NO_MEMORY), monotonic())
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ConnectionPool:
    """The connections of one client, at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0
        self._idle: dict[NativeConnection, None] = {}  # the one that was idle for longest first
        self._of_origin: dict[Origin, list[NativeConnection]] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def has_idle(self) -> bool:
        """Whether a connection is idle."""
        return bool(self._idle)

    def take(self, origin: Origin, now: float) -> NativeConnection | None:
        """An idle connection to an origin, the last used first."""
        idle = self._of_origin.get(origin)
        while idle:
            connection = idle[-1]
            self._remove(connection)
            if connection.is_open and now - connection.idle_since <= KEEPALIVE_S:
                return connection
            connection.abort()
            self.forget()
        return None

    async def acquire(self, origin: Origin) -> NativeConnection | None:
        """An idle connection, or None where the caller may open one: it then calls `keep` or `forget` for it."""
        while True:
            if connection := self.take(origin, monotonic()):
                return connection
            if self._open < self._most:
                self._open += 1
                return None
            if self._idle:
                self._close(next(iter(self._idle)))
                continue
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter.done() and not waiter.cancelled():
                    self._wake_one()  # it was for us
                raise

    def keep(self, connection: NativeConnection) -> None:
        """A connection is idle from now on."""
        connection.idle_since = monotonic()
        self._idle[connection] = None
        self._of_origin.setdefault(connection.origin, []).append(connection)
        self._wake_one()

    def forget(self) -> None:
        """A connection has ended, or could not be opened."""
        self._open -= 1
        self._wake_one()

    def closed(self, connection: NativeConnection) -> None:
        """Called when a connection has ended; where it is in use its fetch calls `forget`."""
        if connection in self._idle:
            self._remove(connection)
            self.forget()

    def close_idle(self, now: float) -> None:
        """Close the connections that have been idle for too long."""
        while self._idle and now - (oldest := next(iter(self._idle))).idle_since > KEEPALIVE_S:
            self._close(oldest)

    def close(self) -> None:
        """Close all that are idle."""
        while self._idle:
            self._close(next(iter(self._idle)))

    def _close(self, connection: NativeConnection) -> None:
        self._remove(connection)
        connection.abort()
        self.forget()

    def _remove(self, connection: NativeConnection) -> None:
        del self._idle[connection]
        same = self._of_origin[connection.origin]
        same.remove(connection)
        if not same:
            del self._of_origin[connection.origin]

    def _wake_one(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
