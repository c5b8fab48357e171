"""The second blocking client: urllib3's connections, in pure Python.

Rules:
- Connections, not a PoolManager: its URL parser rewrites what it sends (`/a/../b`, `%2f`); a URL is sent as it is.
- The head is read here, line by line: http.client would refuse the 101st header, take 103 for the final status and
  allow any number of 100s. Framing that is not clear (RFC 9112 section 6.3) is refused: after a wrong guess one page
  would be read as another.
- urllib3 knows no deadline but that of one read. All but the connect deadline are the sweeper's.
- A request goes out once (see `wire.REUSED_FOR`). A connection that became readable while idle is not used again: the
  server closed it, or said something unasked.
"""

from __future__ import annotations

import re
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

from crawler.core.messages import Trouble
from crawler.fetch.base import ClientPlan, FetchError, Headers, Request, Response
from crawler.fetch.deadlines import BlockingFetcher, Flight
from crawler.fetch.guard import Blocked, Guard
from crawler.fetch.ways import Addresses, Ways, no_way
from crawler.fetch.wire import (
    KEPT,
    MAX_INTERIM,
    REUSED_FOR,
    STATUS_LINE,
    Target,
    one_line,
    parse_fields,
    plan_headers,
    request_headers,
    split_url,
    tls_context,
)

_READ = 65_536
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n")


class Urllib3Fetcher(BlockingFetcher):
    """A blocking client on urllib3."""

    def __init__(self, plan: ClientPlan) -> None:
        self._headers = plan_headers(plan)
        self._usual = _mapping(self._headers)
        self._ways = Ways(plan)
        self._kept = max(1, min(KEPT, plan.connections))
        self._lines: OrderedDict[tuple[str, str, int], _Line] = OrderedDict()
        self._socket: socket.socket | None = None
        self._ca_file = plan.ca_file
        if plan.ca_file:
            tls_context(plan.ca_file)
        super().__init__(plan.limits)

    def _ask(self, request: Request, flight: Flight) -> Response:
        target = split_url(request.url)
        line = self._line(target)
        reply = self._head(line, target, request, flight)
        body, truncated = self._body(reply, flight)
        if truncated:
            line.close()
        now = time.monotonic()
        return Response(
            status=line.head.status,
            headers=line.head.fields,
            body=body,
            truncated=truncated,
            first_byte=flight.head_at - flight.started,
            seconds=now - flight.started,
        )

    def _line(self, target: Target) -> _Line:
        """The connection to this origin; the one longest unused gives way."""
        key = target[:3]
        line = self._lines.pop(key, None)
        if line is None:
            if len(self._lines) >= self._kept:
                self._lines.popitem(last=False)[1].close()
            line = _open(target, self._ways.guard, self.limits.max_head, self._ca_file)
        self._lines[key] = line
        return line

    def _head(self, line: _Line, target: Target, request: Request, flight: Flight) -> BaseHTTPResponse:
        headers = _mapping(request_headers(self._headers, request)) if request.headers else self._usual
        try:
            if not line.is_connected or flight.started - line.used_at > REUSED_FOR:
                self._connect(line, request.patient)
            self._watch(line, flight)
            line.request("GET", target.path, headers=headers, preload_content=False, decode_content=False)
            reply = line.getresponse()
        except Exception as error:
            line.close()
            raise error if isinstance(error, FetchError) else _trouble(error) from None
        flight.head_at = line.used_at = time.monotonic()
        return reply

    def _connect(self, line: _Line, patient: bool) -> None:
        line.close()
        line.timeout = self.limits.connect
        try:
            name, line.peer_port = self._ways.route(line.host, line.origin_port)
            line.addresses = self._ways.find(name, line.peer_port, patient)
        except OSError as error:
            raise no_way(error) from None
        try:
            line.connect()
        except Blocked as error:
            raise no_way(error) from None
        except TimeoutError:
            raise FetchError(Trouble.TIMEOUT, "connect") from None
        except (OSError, HTTPError, ValueError) as error:
            trouble = Trouble.CONNECT if line.sock is None else Trouble.TLS
            raise FetchError(trouble, one_line(error)) from None
        line.timeout = self.limits.total

    def _watch(self, line: _Line, flight: Flight) -> None:
        """From now on the sweeper can end the flight."""
        with self._lock:
            self._socket = line.sock
            if flight.ended:
                self._cut()

    def _body(self, reply: BaseHTTPResponse, flight: Flight) -> tuple[bytes, str]:
        cap = self.limits.max_body
        blocks: list[bytes] = []
        truncated = ""
        try:
            while block := reply.read1(_READ, decode_content=False):
                blocks.append(block)
                flight.size += len(block)
                if flight.size > cap:
                    return b"".join(blocks)[:cap], "length"
        except (HTTPError, HTTPException, OSError):
            truncated = "disconnect"
        if flight.ended:  # the read ended because the sweeper shut the socket down
            truncated = "time"
        return b"".join(blocks), truncated

    def _cut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _close(self) -> None:
        for line in self._lines.values():
            line.close()
        self._lines.clear()


class _Head(HTTPResponse):
    """http.client's response with a head of its own: `fields` as sent, capped in bytes and in interim replies."""

    fields: Headers = ()
    max_head = 65_536

    def begin(self) -> None:
        """Read status and header fields. Raises HTTPException or ValueError where they are no HTTP."""
        room = self.max_head
        for _ in range(MAX_INTERIM + 1):
            status = self._line(room)
            match = STATUS_LINE.fullmatch(status)
            if match is None:
                raise HTTPException(f"no status line: {status[:60]!a}")
            lines = self._lines(room - len(status))
            room -= len(status) + sum(map(len, lines))
            self.status = self.code = int(match[1])
            if not 100 <= self.status < 200:
                break
        else:
            raise HTTPException("too many interim replies")
        self.version = 10 if status.startswith(b"HTTP/1.0") else 11
        self.reason = ""
        self.fields = parse_fields(lines)
        self.headers = self.msg = HTTPMessage()
        for name, value in self.fields:
            self.headers[name] = value
        self._frame()

    def _lines(self, room: int) -> list[bytes]:
        """The header lines up to the empty one."""
        lines: list[bytes] = []
        while (line := self._line(room)) not in (b"\r\n", b"\n"):
            room -= len(line)
            lines.append(line)
        return lines

    def _line(self, room: int) -> bytes:
        line: bytes = self.fp.readline(room + 1)
        if len(line) > room:
            raise HTTPException("head too large")
        if not line.endswith(b"\n") and line[:5] == b"HTTP/"[: len(line)]:
            raise RemoteDisconnected("closed inside the head")
        return line

    def _frame(self) -> None:
        """How the body ends (RFC 9112 section 6.3)."""
        codings = ",".join(self.headers.get_all("transfer-encoding", [])).lower()
        lengths = {part.strip() for value in self.headers.get_all("content-length", []) for part in value.split(",")}
        if codings.strip() not in ("", "chunked"):
            raise HTTPException(f"unknown transfer coding {codings[:40]!a}")
        if len(lengths) > 1 or not all(length.isdecimal() and len(length) < 20 for length in lengths):
            raise HTTPException(f"unclear content length {ascii(sorted(lengths))[:60]}")
        self.chunked = bool(codings)
        self.chunk_left = None
        self.length = None
        if self.status in (204, 304):
            self.chunked, self.length = False, 0
        elif lengths and not self.chunked:
            self.length = int(lengths.pop())
        open_end = not self.chunked and self.length is None
        self.will_close = bool(open_end or (codings and lengths) or self._check_close())  # type: ignore[attr-defined]

    def _read_next_chunk_size(self) -> int:
        match = _CHUNK.fullmatch(self.fp.readline(_READ))
        if match is None:
            self._close_conn()  # type: ignore[attr-defined]
            raise ValueError("no chunk size")
        return int(match[1], 16)


class _Line(HTTPConnection):
    """A connection to one origin, at one of the `addresses`; `head` is that of its last response."""

    guard: Guard
    origin_port = 0
    addresses: Addresses = ()
    peer_port = 0
    used_at = 0.0
    head: _Head
    max_head = 65_536

    def response_class(self, *args: object, **options: object) -> _Head:  # type: ignore[override]
        """Called by http.client where it needs a response."""
        self.head = _Head(*args, **options)  # type: ignore[arg-type]
        self.head.max_head = self.max_head
        return self.head

    def _new_conn(self) -> socket.socket:
        failure: OSError = OSError("no address")
        for address in self.addresses:
            try:
                self.guard.check(address, self.peer_port)
                where = (address, self.peer_port)
                return create_connection(where, self.timeout, socket_options=self.socket_options)
            except OSError as error:
                failure = error
        raise failure


class _SecureLine(_Line, HTTPSConnection):
    """The same under TLS."""


def _trouble(error: Exception) -> FetchError:
    """What an exception between the first byte sent and the end of the head means."""
    match error:
        case TimeoutError():
            return FetchError(Trouble.TIMEOUT, "total")
        case OSError():  # RemoteDisconnected is one, and so are the errors of ssl
            return FetchError(Trouble.DISCONNECT, one_line(error))
        case HTTPException() | HTTPError() | ValueError():
            return FetchError(Trouble.PROTOCOL, one_line(error))
    return FetchError(Trouble.INTERNAL, one_line(error))


def _open(target: Target, guard: Guard, max_head: int, ca_file: str) -> _Line:
    if target.scheme == "https":
        line: _Line = _SecureLine(target.host, target.port, ssl_context=tls_context(ca_file), ca_certs=None)
    else:
        line = _Line(target.host, target.port)
    line.guard, line.origin_port, line.max_head = guard, target.port, max_head
    return line


def _mapping(headers: Headers) -> HTTPHeaderDict:
    """As urllib3 wants them; it would name itself in a User-Agent if it were not told to skip it."""
    names = {name.lower() for name, _ in headers}
    missing = () if "user-agent" in names else (("User-Agent", SKIP_HEADER),)
    return HTTPHeaderDict((*headers, *missing))
