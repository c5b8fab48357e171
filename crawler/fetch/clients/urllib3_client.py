"""The second blocking client: urllib3's connections, in pure Python.

Rules:
- Connections, not a PoolManager: its URL parser rewrites what it sends (`/a/../b`, `%2f`); a URL is sent as it is.
- The head is read here and validated by `framing`: http.client would refuse the 101st header, take 103 for the final
  status and allow any number of 100s. It would also take any two bytes for the end of a chunk: `chunks` parses those.
- urllib3 has no deadline but that of one read. All but the connect deadline are the sweeper's.
- A request goes out once (see `base.KEEPALIVE_S`). A connection that became readable while idle is not used again: the
  server closed it, or sent something unasked.
"""

from __future__ import annotations

import socket
import time
from collections import OrderedDict
from contextlib import suppress
from http.client import HTTPException, HTTPMessage, HTTPResponse, RemoteDisconnected

from urllib3 import HTTPHeaderDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse
from urllib3.util import SKIP_HEADER
from urllib3.util.connection import create_connection

from crawler.core.reasons import NO_MEMORY, FetchErrorKind
from crawler.fetch.base import KEEPALIVE_S, MAX_IDLE, ClientPlan, FetchError, Headers, Held, Request, Response, one_line
from crawler.fetch.deadlines import BlockingFetcher
from crawler.fetch.exhaustion import lacks_memory
from crawler.fetch.http1.chunks import Chunks
from crawler.fetch.http1.deadlines import FetchTimer
from crawler.fetch.http1.framing import Head, check_begun, check_partial, read_head
from crawler.fetch.http1.request import Target, plan_headers, request_headers, split_url
from crawler.fetch.net.endpoints import Addresses, EndpointResolver, resolve_error
from crawler.fetch.net.guard import Blocked, Guard
from crawler.fetch.net.tls import BROKEN_CONNECTIONS, tls_context

_READ = 65_536
_ENDS = (b"\r\n", b"\n")


class Urllib3Fetcher(BlockingFetcher):
    """A blocking client on urllib3."""

    def __init__(self, plan: ClientPlan) -> None:
        self._headers = plan_headers(plan)
        self._usual = _mapping(self._headers)
        self._ways = EndpointResolver(plan)
        self._kept = max(1, min(MAX_IDLE, plan.connections))
        self._lines: OrderedDict[tuple[str, str, int], _Line] = OrderedDict()
        self._socket: socket.socket | None = None
        self._ca_file = plan.ca_file
        if plan.ca_file:
            tls_context(plan.ca_file)
        super().__init__(plan.limits)

    def _ask(self, request: Request, flight: FetchTimer) -> Response:
        target = split_url(request.url)
        line = self._line(target)
        reply = self._head(line, target, request, flight)
        try:
            body, truncated = self._body(line, reply, flight, request.held)
        except Exception:
            line.close()
            raise
        if truncated or line.reply.excess_data:
            line.close()
        now = time.monotonic()
        return Response(
            status=line.reply.head.status,
            headers=line.reply.head.fields,
            body=body,
            truncated=truncated,
            first_byte=flight.head_at - flight.started,
            seconds=now - flight.started,
            address=line.address,
        )

    def _line(self, target: Target) -> _Line:
        """The connection to this origin; a new one evicts the least recently used."""
        key = target[:3]
        line = self._lines.pop(key, None)
        if line is None:
            if len(self._lines) >= self._kept:
                self._lines.popitem(last=False)[1].close()
            line = _open(target, self._ways.guard, self.limits.max_head, self._ca_file)
        self._lines[key] = line
        return line

    def _head(self, line: _Line, target: Target, request: Request, flight: FetchTimer) -> BaseHTTPResponse:
        headers = _mapping(request_headers(self._headers, request)) if request.headers else self._usual
        try:
            if not line.is_connected or flight.started - line.used_at > KEEPALIVE_S:
                self._connect(line, request.wait_for_dns)
            self._watch(line, flight)
            line.request("GET", target.path, headers=headers, preload_content=False, decode_content=False)
            reply = line.getresponse()
        except Exception as error:
            line.close()
            raise error if isinstance(error, FetchError) else _trouble(error) from error
        flight.head_at = line.used_at = time.monotonic()
        return reply

    def _connect(self, line: _Line, wait_for_dns: bool) -> None:
        line.close()
        line.timeout = self.limits.connect
        try:
            name, line.peer_port = self._ways.route(line.host, line.origin_port)
            line.addresses = self._ways.find(name, line.peer_port, wait_for_dns)
        except OSError as error:
            raise resolve_error(error) from None
        try:
            line.connect()
        except Blocked as error:
            raise resolve_error(error) from None
        except TimeoutError:
            raise FetchError(FetchErrorKind.TIMEOUT, "connect") from None
        except (OSError, HTTPError, ValueError) as error:
            trouble = FetchErrorKind.CONNECT if line.sock is None else FetchErrorKind.TLS
            if isinstance(error, BROKEN_CONNECTIONS):
                trouble = FetchErrorKind.DISCONNECT  # in a TLS handshake, too
            raise FetchError(trouble, one_line(error)) from None
        line.timeout = self.limits.total

    def _watch(self, line: _Line, flight: FetchTimer) -> None:
        """From now on the sweeper can end the flight."""
        with self._lock:
            self._socket = line.sock
            if flight.ended:
                self._cut()

    def _body(self, line: _Line, reply: BaseHTTPResponse, flight: FetchTimer, held: Held) -> tuple[bytes, str]:
        cap = self.limits.max_body
        blocks: list[bytes] = []
        truncated = ""
        chunks = Chunks() if line.reply.head.chunked else None
        try:
            while block := reply.read1(_READ, decode_content=False):
                if chunks:
                    block = b"".join(chunks.feed(block))
                blocks.append(block)
                flight.size += len(block)
                held.grow(len(block))
                if flight.size > cap:
                    return b"".join(blocks)[:cap], "length"
                if flight.ended or (chunks and (chunks.done or chunks.error)):
                    break  # what the kernel holds can be read long after a deadline has shut the socket
        except (HTTPError, HTTPException, OSError) as error:
            if lacks_memory(error):
                raise FetchError(FetchErrorKind.RESOURCE_EXHAUSTED, NO_MEMORY) from error
            truncated = "disconnect"
        if chunks and chunks.error:
            raise chunks.error
        if line.reply.length or (chunks and not chunks.done):  # something is left of it
            truncated = "disconnect"
        if flight.ended:  # the read ended because the sweeper shut the socket down
            truncated = "time"
        if chunks:
            line.reply.excess_data = chunks.excess_data
            line.reply.close()
        return b"".join(blocks), truncated

    def _cut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _close(self) -> None:
        for line in self._lines.values():
            line.close()
        self._lines.clear()


class _Reply(HTTPResponse):
    """http.client's response with the `head` parsed by `framing`; `excess_data`: more came than was promised."""

    head: Head
    max_head = 65_536
    excess_data = False

    def begin(self) -> None:
        """Read the head. Raises FetchError, or RemoteDisconnected where it ends early."""
        check_begun(self.fp.peek(1)[:5])
        lines: list[bytes] = []
        room = self.max_head + 1
        found = None
        while found is None:
            begun = b""
            try:
                begun = self.fp.peek(1)[:1]  # all that can be kept of a line whose end does not come
                line = self.fp.readline(room)
            except OSError:
                check_partial(b"".join((*lines, begun)), self.max_head)
                raise
            room -= len(line)
            lines.append(line)
            over = not line.endswith(b"\n")
            if over or line in _ENDS:
                found = read_head(b"".join(lines), self.max_head)
                if over:
                    check_partial(b"".join(lines), self.max_head)
                    raise RemoteDisconnected("closed inside the head")
        self.head = head = found[0]
        self.status = self.code = head.status
        self.version, self.reason = 11, ""
        self.headers = self.msg = HTTPMessage()  # empty: the fields are in `head`
        self.chunked = False
        self.length = head.length
        self.will_close = not head.keep_alive

    def _close_conn(self) -> None:
        """Called at the end of the body; checks for unread bytes after it."""
        line = self.fp.raw._sock  # type: ignore[attr-defined]
        patience = line.gettimeout()
        line.settimeout(0)
        with suppress(OSError):  # raised by TLS where nothing is unread
            self.excess_data |= bool(self.fp.peek(1))
        line.settimeout(patience)
        super()._close_conn()  # type: ignore[misc]


class _Line(HTTPConnection):
    """A connection to one origin, at one of the `addresses`; `reply` is its last response."""

    guard: Guard
    origin_port = 0
    addresses: Addresses = ()
    peer_port = 0
    address = ""
    used_at = 0.0
    reply: _Reply
    max_head = 65_536

    def response_class(self, *args: object, **options: object) -> _Reply:  # type: ignore[override]
        """Called by http.client to create a response."""
        self.reply = _Reply(*args, **options)  # type: ignore[arg-type]
        self.reply.max_head = self.max_head
        return self.reply

    def _new_conn(self) -> socket.socket:
        failure: OSError = OSError("no address")
        for address in self.addresses:
            try:
                self.guard.check(address, self.peer_port)
                where = (address, self.peer_port)
                self.address = str(address)
                return create_connection(where, self.timeout, socket_options=self.socket_options)
            except OSError as error:
                failure = error
        raise failure


class _SecureLine(_Line, HTTPSConnection):
    """The same under TLS."""


def _trouble(error: Exception) -> FetchError:
    """The FetchError for an exception between the first byte sent and the end of the head."""
    match error:
        case TimeoutError():
            return FetchError(FetchErrorKind.TIMEOUT, "total")
        case OSError():  # RemoteDisconnected is one, and so are the errors of ssl
            return FetchError(FetchErrorKind.DISCONNECT, one_line(error))
        case HTTPException() | HTTPError() | ValueError():
            return FetchError(FetchErrorKind.PROTOCOL, one_line(error))
    return FetchError(FetchErrorKind.INTERNAL, one_line(error))


def _open(target: Target, guard: Guard, max_head: int, ca_file: str) -> _Line:
    if target.scheme == "https":
        line: _Line = _SecureLine(target.host, target.port, ssl_context=tls_context(ca_file), ca_certs=None)
    else:
        line = _Line(target.host, target.port)
    line.guard, line.origin_port, line.max_head = guard, target.port, max_head
    return line


def _mapping(headers: Headers) -> HTTPHeaderDict:
    """Headers for urllib3; SKIP_HEADER suppresses its default User-Agent."""
    names = {name.lower() for name, _ in headers}
    missing = () if "user-agent" in names else (("User-Agent", SKIP_HEADER),)
    return HTTPHeaderDict((*headers, *missing))
