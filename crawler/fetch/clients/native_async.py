"""The project's own client on an event loop: a driver of `Exchange`, with a pool of kept connections per origin.

Rules:
- A fetch costs one future, see crawler/fetch/clients/native_connection.py.
- One timer per tick checks the deadlines of all fetches in flight and closes connections that were idle for too long.
- A request is never sent twice: retries are the Crawl's decision (see `base.KEEPALIVE_S`).
"""

from __future__ import annotations

import asyncio
import functools
import socket
from contextlib import suppress
from time import monotonic

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import ClientPlan, FetchError, Request, Response
from crawler.fetch.clients.native_connection import ConnectionPool, NativeConnection
from crawler.fetch.clients.native_dial import connect, connect_through, dial_on_loop
from crawler.fetch.http1.deadlines import tick
from crawler.fetch.http1.exchange import Exchange
from crawler.fetch.http1.request import Origin, RequestEncoder
from crawler.fetch.net.endpoints import EndpointResolver, proxy_endpoints, resolve_error
from crawler.fetch.net.failures import connect_failure
from crawler.fetch.net.guard import Guard
from crawler.fetch.net.tls import tls_context


class AsyncNativeFetcher:
    """The asynchronous driver. Create it in the running loop."""

    def __init__(self, plan: ClientPlan) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = plan.limits
        self._endpoints = EndpointResolver(plan)
        self._proxy_endpoints = proxy_endpoints(plan)
        self._encoder = RequestEncoder(plan, self._endpoints.judge_unresolved)
        self._ca_file = plan.ca_file
        if plan.ca_file:
            tls_context(plan.ca_file)
        self._pool = ConnectionPool(max(1, plan.connections))
        self._busy: set[NativeConnection] = set()
        self._tick = tick(plan.limits)
        self._sweeping: asyncio.TimerHandle | None = None
        self._sweep_due = 0.0

    async def fetch(self, request: Request) -> Response:
        """Send one request. Raises FetchError."""
        origin, message = self._encoder.encode(request)
        exchange = Exchange(self._limits, request.held, monotonic(), origin.forwarded)
        connection = self._pool.take(origin, exchange.timer.started)
        if connection is None:
            connection = await self._acquire(origin, request.wait_for_dns, exchange)
        if self._sweeping is None:
            self._plan_sweep()
        self._busy.add(connection)
        try:
            await connection.run(message, exchange)
        finally:
            self._busy.discard(connection)
            if exchange.reusable and connection.is_open:
                self._pool.keep(connection)
            else:
                connection.abort()
                self._pool.forget()
        return exchange.response(connection.address)

    async def _acquire(self, origin: Origin, wait_for_dns: bool, exchange: Exchange) -> NativeConnection:
        """A connection that has become idle, or a new one. Raises FetchError."""
        try:
            async with asyncio.timeout(self._limits.first_byte):
                connection = await self._pool.acquire(origin)
        except TimeoutError:
            raise FetchError(FetchErrorKind.TIMEOUT, "first byte") from None
        if connection is not None:
            return connection
        try:
            return await self._open(origin, wait_for_dns, exchange)
        except BaseException:
            self._pool.forget()
            raise

    async def _open(self, origin: Origin, wait_for_dns: bool, exchange: Exchange) -> NativeConnection:
        """A new connection. Raises FetchError."""
        proxy = origin.proxy
        endpoints, peer = (self._endpoints, origin) if proxy is None else (self._proxy_endpoints, proxy)
        try:
            name, port = endpoints.route(peer.host, peer.port)
            addresses = await endpoints.afind(name, port, wait_for_dns)
        except OSError as error:
            raise resolve_error(error) from error
        now = monotonic()
        give_up_at, reason = exchange.timer.connect_until(self._limits, now)
        try:
            async with asyncio.timeout(give_up_at - now):
                return await self._connect(origin, endpoints.guard, addresses, port)
        except TimeoutError:
            raise FetchError(FetchErrorKind.TIMEOUT, reason) from None

    async def _connect(self, origin: Origin, guard: Guard, addresses: tuple[str, ...], port: int) -> NativeConnection:
        """TCP, what a proxy needs, and TLS for https. Raises FetchError, TimeoutError."""
        line: socket.socket | None = None
        try:
            line = await dial_on_loop(self._loop, guard, addresses, port)
            make = functools.partial(NativeConnection, self._loop, origin, self._pool.closed, self._limits.max_head)
            if origin.proxy is not None:
                return await connect_through(self._loop, origin.proxy, line, origin, self._ca_file, make)
            return await connect(self._loop, line, origin, self._ca_file, make)
        except BaseException as error:
            if line is not None:
                line.close()
            if isinstance(error, OSError | ValueError) and not isinstance(error, TimeoutError):
                raise connect_failure(error, tls=line is not None) from error
            raise

    # ---- deadlines ---------------------------------------------------------------------------------------------------

    def _plan_sweep(self) -> None:
        self._sweep_due = monotonic() + self._tick
        self._sweeping = self._loop.call_later(self._tick, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        now = monotonic()
        late = now - self._sweep_due
        with suppress(MemoryError):  # the next sweep will find it
            for connection in list(self._busy):
                connection.check_deadlines(now, late if late > self._tick else 0.0)
            self._pool.close_idle(now)
        if self._busy or self._pool.has_idle:
            self._plan_sweep()

    async def close(self) -> None:
        """Close its connections."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for connection in list(self._busy):
            connection.abort()
        self._pool.close()
        await asyncio.sleep(0)  # let the loop close their sockets
