"""One client connection of the test web's server: a protocol on httptools, at most one request at a time.

- An answer is computed when the request arrives and sent `delay` seconds later, or as its fault requires.
- Connections are kept alive for as many answers as the web says. A client that sends a second request before the first
  is answered is disconnected.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterator
from email.utils import formatdate
from http import HTTPStatus
from math import ceil
from typing import Protocol, cast

import httptools
import msgspec

from crawler.testweb.document import Answer, AnyWeb
from crawler.testweb.log import LogEntry
from crawler.testweb.settings import ATTEMPT_HEADER

_ATTEMPT = ATTEMPT_HEADER.lower().encode()
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds: close sends RST
_PIECES = 16
_FLOOD = [f"X-Flood-{n}: {'o' * 100}" for n in range(2_000)]


class Owner(Protocol):
    """The part of WebServer that its connections use."""

    web: AnyWeb
    part: int
    parts: int
    connections: set[WebConnection]
    connections_made: int

    def answer(self, host: str, path: str, attempt: int, accept: str, address: str) -> Answer:
        """The answer to a request."""

    def arrived(self) -> int:
        """Count a request as begun; returns the number in flight."""

    def ended(self, entry: LogEntry) -> None:
        """Count a request as ended and log it."""


class WebConnection(asyncio.Protocol):
    """One client connection: at most one request at a time."""

    transport: asyncio.Transport

    def __init__(self, server: Owner) -> None:
        self._server = server
        self._answering = False
        self._timer: asyncio.TimerHandle | None = None  # none while a request hangs
        self._parser = httptools.HttpRequestParser(self)
        self._number = 1 + server.part + server.parts * server.connections_made
        server.connections_made += 1
        self._answers = 0

    # ---- asyncio: the transport calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register with the server."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not subclass it
        self._address = str(transport.get_extra_info("sockname")[0])
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the methods below."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            self.cut()
            raise  # our own bug, not the client's
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.cut()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget a request that was not answered."""
        self._server.connections.discard(self)
        self._give_up()

    def cut(self) -> None:
        """Close at once, even in the middle of an answer."""
        self._give_up()
        self.transport.abort()

    def _give_up(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._answering:
            self._finish(status=0)

    # ---- httptools: the parser calls these

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url = b""
        self._host = self._accept = ""
        self._attempt = 1

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field, as a whole."""
        match name.lower():
            case b"host":
                self._host = value.decode("latin-1").partition(":")[0].lower()
            case b"accept-encoding":
                self._accept = value.decode("latin-1")
            case name if name == _ATTEMPT:
                self._attempt = int(value) if value.isdigit() and len(value) < 9 else 1

    def on_message_complete(self) -> None:
        """A request is complete: log it, and answer it when its delay is over."""
        if self._answering:
            self.cut()
            return
        at, path = time.monotonic(), self._url.decode("latin-1")
        self._answering = True
        self._asked_to_keep = self._parser.should_keep_alive()  # afterwards it has forgotten
        self._late, self._sent = 0.0, 0
        self._answers += 1
        self._entry = LogEntry(
            at=at,
            wall=time.time(),
            end=at,
            host=self._host,
            path=path,
            attempt=self._attempt,
            status=0,
            in_flight=self._server.arrived(),
            connection=self._number,
            scheme=self._server.web.scheme,
        )
        answer = self._answer = self._server.answer(self._host, path, self._attempt, self._accept, self._address)
        if answer.fault != "hang":
            left = at + answer.delay - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, left), self._respond)

    # ---- answering

    def _respond(self) -> None:
        answer, hold = self._answer, float(self._answer.retry_after or 0)
        if answer.fault == "reset":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.cut()
            return
        head = [f"HTTP/1.1 {answer.status} {_PHRASES[answer.status]}"]
        head += [f"{name}: {value}" for name, value in answer.headers]
        head.append(f"Server-Timing: app;dur={answer.delay * 1000:.3f}")
        if answer.retry_date:
            now = time.time()
            date = ceil(now + hold)
            hold = date - now
            head.append(f"Retry-After: {formatdate(date, usegmt=True)}")
        if answer.fault == "flood":
            head += _FLOOD
        head.append(f"Content-Length: {len(answer.body)}")
        worn = answer.keep and self._answers >= answer.keep
        self._keep = self._asked_to_keep and answer.fault != "truncated" and not worn
        if not self._keep:
            head.append("Connection: close")
        self._hold, self._late = hold, time.monotonic() - self._entry.at - answer.delay
        self._send("\r\n".join([*head, "", ""]).encode("latin-1"), *_pieces(answer))

    def _send(self, head: bytes, pieces: Iterator[bytes], last: int, rest: float) -> None:
        """Send `head` and the next piece now, the `last` further ones later, `rest` seconds apart."""
        block = head + next(pieces, b"")
        self._sent += len(block)
        if last:
            self._timer = asyncio.get_running_loop().call_later(rest, self._send, b"", pieces, last - 1, rest)
            self.transport.write(block)
            return
        self._finish(self._answer.status, self._hold)  # logged before a client can see the end
        self.transport.write(block)
        if not self._keep:
            self.transport.close()

    def _finish(self, status: int, hold: float = 0.0) -> None:
        self._timer, self._answering = None, False
        end = time.monotonic()
        self._server.ended(
            msgspec.structs.replace(self._entry, end=end, status=status, hold=hold, late=self._late, sent=self._sent)
        )


def _pieces(answer: Answer) -> tuple[Iterator[bytes], int, float]:
    """The pieces in which a body is sent, how many follow the first, and the rest between two of them in seconds."""
    body = answer.body
    if answer.fault == "stall":
        return (body[n : n + 1] for n in range(len(body))), len(body), 1.0
    if answer.drip:
        step = -(-len(body) // _PIECES) or 1
        return (body[n : n + step] for n in range(0, len(body), step)), _PIECES - 1, answer.drip / _PIECES
    return iter([body[: len(body) // 2] if answer.fault == "truncated" else body]), 0, 0.0
