"""The server of a web: one asyncio protocol on httptools, cheap enough never to be what a comparison measures.

- Every host has its own loopback address, all share one port. The Host header decides whose page it is; a request for a
  host that does not live at the address it came to is misdirected (421, RFC 9110 section 15.5.20).
- An answer is worked out on arrival and sent `delay` seconds after it; nothing is kept between requests.
- Connections are kept alive. A client that sends a second request before the first is answered is cut off.
- The server is the referee's witness: what it logs is what happened, whatever a crawler says of itself.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from email.utils import formatdate
from http import HTTPStatus
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import httptools
import msgspec

from crawler.testweb.document import Answer, AnyWeb
from crawler.testweb.log import FLUSH_SECONDS, Entry, RequestLog
from crawler.testweb.settings import ATTEMPT_HEADER, WebSettings, address_of, settings_for

_ATTEMPT = ATTEMPT_HEADER.lower().encode()
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds: close sends RST
_PORT_TRIES = 20


class WebServer:
    """Serves a web on loopback: `async with WebServer(web) as server`. Port 0 takes one that is free everywhere."""

    def __init__(self, web: AnyWeb, *, port: int = 0, log: Path | None = None) -> None:
        self.web = web
        self.port = port
        self.in_flight = 0
        self.most_in_flight = 0
        self.connections: set[_Connection] = set()
        self.connections_made = 0
        self._addresses = {name: address_of(index) for index, name in enumerate(web.names)}
        self._log = RequestLog(log) if log else None
        self._servers: list[asyncio.Server] = []

    @property
    def settings(self) -> WebSettings:
        """What a crawler must be told."""
        return settings_for(self.web, self.port)

    async def __aenter__(self) -> Self:
        """Listen. Raises OSError where the port is taken."""
        loop = asyncio.get_running_loop()
        for listener in _listen(list(self._addresses.values()), self.port):
            self.port = listener.getsockname()[1]
            self._servers.append(await loop.create_server(lambda: _Connection(self), sock=listener, backlog=1024))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.cut()
        if self._log:
            self._log.close()
            self._log = None

    def answer(self, host: str, path: str, attempt: int, accept: str, address: str) -> Answer:
        """The web's answer, if the host lives at that address."""
        if self._addresses.get(host) != address:
            return Answer(status=421, headers=(("Content-Type", "text/plain"),), body=b"no such host here\n")
        return self.web.answer(host, path, attempt, accept)

    def arrived(self) -> int:
        """Count a request in; how many are in flight now."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return self.in_flight

    def ended(self, entry: Entry) -> None:
        """Count a request out and log it."""
        self.in_flight -= 1
        if self._log and self._log.add(entry):
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._log:
            self._log.flush()


class _Connection(asyncio.Protocol):
    """One client connection: at most one request at a time."""

    transport: asyncio.Transport

    def __init__(self, server: WebServer) -> None:
        self._server = server
        self._timer: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpRequestParser(self)
        server.connections_made += 1
        self._number = server.connections_made

    # ---- asyncio: the transport calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are none by inheritance
        self._address = str(transport.get_extra_info("sockname")[0])
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            self.cut()
            raise  # our own mistake, not the client's
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.cut()

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        self._give_up()

    def cut(self) -> None:
        """Close at once, whatever was being answered."""
        self._give_up()
        self.transport.abort()

    def _give_up(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._finish(status=0)

    # ---- httptools: the parser calls these

    def on_message_begin(self) -> None:
        self._url = b""
        self._host = self._accept = ""
        self._attempt = 1

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"host":
                self._host = value.decode("latin-1").partition(":")[0].lower()
            case b"accept-encoding":
                self._accept = value.decode("latin-1")
            case name if name == _ATTEMPT:
                self._attempt = int(value) if value.isdigit() and len(value) < 9 else 1

    def on_message_complete(self) -> None:
        if self._timer:
            self.cut()
            return
        at, path = time.monotonic(), self._url.decode("latin-1")
        self._entry = Entry(
            at=at,
            wall=time.time(),
            end=at,
            host=self._host,
            path=path,
            attempt=self._attempt,
            status=0,
            in_flight=self._server.arrived(),
            connection=self._number,
        )
        self._answer = self._server.answer(self._host, path, self._attempt, self._accept, self._address)
        left = at + self._answer.delay - time.monotonic()
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
        head.append(f"Content-Length: {len(answer.body)}")
        keep = self._parser.should_keep_alive() and answer.fault != "truncated"
        if not keep:
            head.append("Connection: close")
        body = answer.body[: len(answer.body) // 2] if answer.fault == "truncated" else answer.body
        self._finish(answer.status, hold)  # before the write: a client must not be able to see the end before we do
        self.transport.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        if not keep:
            self.transport.close()

    def _finish(self, status: int, hold: float = 0.0) -> None:
        self._timer = None
        self._server.ended(msgspec.structs.replace(self._entry, end=time.monotonic(), status=status, hold=hold))


def _listen(addresses: list[str], port: int) -> list[socket.socket]:
    """One listening socket per address, all on one port. Raises OSError where that port is taken."""
    for _ in range(_PORT_TRIES):
        listeners: list[socket.socket] = []
        try:
            for address in addresses:
                listeners.append(socket.create_server((address, listeners[0].getsockname()[1] if listeners else port)))
        except OSError as error:
            for listener in listeners:
                listener.close()
            if port or error.errno != errno.EADDRINUSE:
                raise
        else:
            return listeners
    raise OSError(errno.EADDRINUSE, "no port is free at all addresses of the test web")
