"""The asynchronous client: one aiohttp session in one event loop. This is the hot path of the product.

Rules:
- aiohttp's parser must be the one in C: the one in Python takes several times as long.
- Redirects, cookies, proxies, netrc, decompression and quoting are off; URLs go out as written (`encoded=True`).
- aiohttp's own timers (one per fetch, one per read) are off but for the connect deadline, which costs nothing on a kept
  connection: one timer per tick checks all fetches and cancels the tasks of overdue ones.
- aiohttp would repeat a GET whose connection broke; that is off, since retries are the Crawl's decision (see
  `base.KEEPALIVE_S`).
"""

from __future__ import annotations

import asyncio
import functools
import time
from contextlib import suppress
from typing import Any, cast

import aiohttp
from aiohttp.http_parser import HttpResponseParser, HttpResponseParserPy
from yarl import URL

from crawler.core.reasons import NO_MEMORY, FetchErrorKind
from crawler.errors import UsageError
from crawler.fetch.base import NO_C_PARSER, ClientPlan, FetchError, Held, Request, Response, one_line
from crawler.fetch.clients.aiohttp_connection import Connection
from crawler.fetch.clients.aiohttp_net import PATIENT, connector
from crawler.fetch.exhaustion import lacks_memory
from crawler.fetch.http1.deadlines import FetchTimer, tick
from crawler.fetch.http1.request import check_url, plan_headers, request_headers
from crawler.fetch.net.endpoints import resolve_error
from crawler.fetch.net.failures import connect_failure
from crawler.fetch.net.tls import tls_context


class AiohttpFetcher:
    """An asynchronous client on aiohttp. Create it in the running loop."""

    def __init__(self, plan: ClientPlan) -> None:
        if HttpResponseParser is HttpResponseParserPy:
            raise UsageError(NO_C_PARSER)
        limits = plan.limits
        self._limits = limits
        self._ca_file = plan.ca_file
        if plan.ca_file:
            tls_context(plan.ca_file)
        self._headers = plan_headers(plan)
        self._flights: dict[asyncio.Task[object], _AiohttpTimer] = {}
        self._loop = asyncio.get_running_loop()
        self._sweeping: asyncio.TimerHandle | None = None
        self._sweep_due = 0.0
        self._tick = tick(limits)
        names = {name.lower() for name, _ in self._headers}
        pool = connector(plan)
        pool._factory = cast(Any, functools.partial(Connection, self._loop, limits.max_head))
        self._session = aiohttp.ClientSession(
            connector=pool,
            headers=self._headers,
            skip_auto_headers=[name for name in ("Accept", "User-Agent") if name.lower() not in names],
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect),
            auto_decompress=False,
            trust_env=False,
            requote_redirect_url=False,
        )
        self._session._retry_connection = False

    async def fetch(self, request: Request) -> Response:
        """Send one request. Raises FetchError."""
        check_url(request.url)
        task = asyncio.current_task(self._loop)  # without it Python 3.11 asks the kernel for our process id
        if task is None:
            raise UsageError("fetch needs a task to run in")
        flight = self._flights[task] = _AiohttpTimer(time.monotonic(), task)
        if self._sweeping is None:
            self._plan_sweep()
        try:
            return await self._ask(request, flight)
        except asyncio.CancelledError:
            if flight.cancelled_by_others():
                raise
            raise FetchError(FetchErrorKind.TIMEOUT, flight.ended) from None
        except FetchError:
            raise
        except Exception as error:
            raise _failure(error) from error
        finally:
            del self._flights[task]

    async def _ask(self, request: Request, flight: _AiohttpTimer) -> Response:
        reply = await self._head(request)
        head_at = flight.head_at = time.monotonic()
        connection = cast(Connection, reply._protocol)
        head = connection.head
        assert head is not None  # this is the first to run since it came
        body, truncated = await self._read(reply, flight, request.held)
        started = flight.started
        return Response(
            status=head.status,
            headers=head.fields,
            body=body,
            truncated=truncated,
            first_byte=head_at - started,
            seconds=time.monotonic() - started,
            address=connection.address,
        )

    async def _head(self, request: Request) -> aiohttp.ClientResponse:
        url = _as_written(request.url)
        PATIENT.set(request.wait_for_dns)
        headers = request_headers((), request) or None
        tls = tls_context(self._ca_file) if request.url.startswith("https") else True
        return await self._session.get(url, headers=headers, allow_redirects=False, ssl=tls)

    async def _read(self, reply: aiohttp.ClientResponse, flight: _AiohttpTimer, held: Held) -> tuple[bytes, str]:
        """The body, and how it was truncated. A truncated body closes its connection. Raises FetchError(PROTOCOL)."""
        content = flight.content = reply.content
        cap = self._limits.max_body
        blocks: list[bytes] = []
        size = 0
        truncated = ""
        broken: FetchError | None = None
        try:
            while block := await content.readany():
                blocks.append(block)
                size += len(block)
                held.grow(len(block))
                if size > cap:
                    truncated = "length"
                    break
            else:
                return b"".join(blocks), ""
        except asyncio.CancelledError:
            reply.close()
            if flight.cancelled_by_others():
                raise
            truncated = "time"
        except (aiohttp.ClientError, OSError, RuntimeError, FetchError) as error:
            if lacks_memory(error):
                reply.close()
                raise
            truncated = "disconnect"
            broken = error if isinstance(error, FetchError) else None
            if content._buffer:  # an error hides the bytes that came before it from every public way of reading
                blocks.append(content._read_nowait(-1))
        reply.close()
        body = b"".join(blocks)
        if len(body) > cap:
            return body[:cap], "length"
        if broken:
            raise broken
        return body, truncated

    def _sweep(self) -> None:
        self._sweeping = None
        with suppress(MemoryError):  # the next sweep will find it
            self._end_overdue()
        if self._flights:
            self._plan_sweep()

    def _end_overdue(self) -> None:
        now = time.monotonic()
        late = now - self._sweep_due
        blocked = late if late > self._tick else 0.0
        for flight in self._flights.values():
            if flight.content is not None:
                flight.size = flight.content.total_bytes
            if not flight.ended and (reason := flight.overdue(self._limits, now, blocked)):
                flight.ended = reason
                flight.task.cancel()

    def _plan_sweep(self) -> None:
        self._sweep_due = time.monotonic() + self._tick
        self._sweeping = self._loop.call_later(self._tick, self._sweep)

    async def close(self) -> None:
        """Close its connections."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        await self._session.close()


class _AiohttpTimer(FetchTimer):
    """A timer that ends its fetch by cancelling the task."""

    __slots__ = ("content", "task")

    def __init__(self, now: float, task: asyncio.Task[object]) -> None:
        super().__init__(now)
        self.task = task
        self.content: aiohttp.StreamReader | None = None

    def cancelled_by_others(self) -> bool:
        """Whether another caller cancelled the task too; undoes our own cancellation."""
        return not self.ended or self.task.uncancel() > 0


def _as_written(url: str) -> URL:
    """A yarl URL that keeps every byte: an empty query, which yarl would drop, becomes part of the path."""
    if not url.endswith("?"):
        return URL(url, encoded=True)
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return URL.build(scheme=scheme, authority=authority, path=slash + path, encoded=True)


def _failure(error: Exception) -> FetchError:
    """The FetchError for an exception from aiohttp."""
    if lacks_memory(error):
        return FetchError(FetchErrorKind.RESOURCE_EXHAUSTED, f"{NO_MEMORY} ({type(error).__name__})")
    match error:
        case TimeoutError():  # aiohttp's are that, too
            return FetchError(FetchErrorKind.TIMEOUT, "connect")
        case aiohttp.ClientConnectorDNSError():
            return resolve_error(error.os_error)
        case aiohttp.ClientConnectorError(os_error=cause):  # its own text names the SSLContext, or is only the address
            return connect_failure(cause, tls=isinstance(error, aiohttp.ClientSSLError))
        case aiohttp.ClientError():
            return FetchError(_trouble(error), one_line(error))
        case OSError():
            return FetchError(FetchErrorKind.DISCONNECT, one_line(error))
    return FetchError(FetchErrorKind.INTERNAL, one_line(error))


def _trouble(error: aiohttp.ClientError) -> FetchErrorKind:
    """The kind of a failure before the head was complete. The order matters: the classes derive from each other."""
    match error:
        case aiohttp.ClientSSLError():
            return FetchErrorKind.TLS
        case aiohttp.ClientOSError() | aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return FetchErrorKind.DISCONNECT
        case aiohttp.ClientResponseError():
            return FetchErrorKind.PROTOCOL
        case aiohttp.ClientConnectionError():
            return FetchErrorKind.DISCONNECT
    return FetchErrorKind.INTERNAL
