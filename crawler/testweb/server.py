"""The server of a web: one asyncio protocol on httptools, cheap enough not to be the bottleneck of a comparison.

- Every host has its own loopback address, all share one port. The Host header selects the host; a request that arrives
  at another host's address is misdirected (421, RFC 9110 section 15.5.20).
- A host whose answers are "refused" has no listener.
- Several processes may serve one web at one port: the kernel distributes connections among them (SO_REUSEPORT). They
  number connections interleaved, so that no number is used twice.
- The referee relies on the server's log alone, not on what a crawler reports.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

from crawler.testweb.connection import WebConnection
from crawler.testweb.document import Answer, AnyWeb
from crawler.testweb.log import FLUSH_SECONDS, LogEntry, RequestLog
from crawler.testweb.settings import WebSettings, address_of, settings_for

_PORT_TRIES = 20


class WebServer:
    """Serves a web on loopback: `async with WebServer(web) as server`. Port 0 picks one that is free at all addresses.

    It is process `part` of `parts`, counted from 0. `tls` is required for an https web.
    """

    def __init__(
        self,
        web: AnyWeb,
        *,
        port: int = 0,
        log: Path | None = None,
        part: int = 0,
        parts: int = 1,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.web = web
        self.port = port
        self.part, self.parts, self._tls = part, parts, tls
        self.in_flight = 0
        self.most_in_flight = 0
        self.connections: set[WebConnection] = set()
        self.connections_made = 0
        self._addresses = {name: address_of(index) for index, name in enumerate(web.names)}
        self._log = RequestLog(log) if log else None
        self._servers: list[asyncio.Server] = []

    @property
    def settings(self) -> WebSettings:
        """The settings that a crawler of this web needs."""
        return settings_for(self.web, self.port)

    async def __aenter__(self) -> Self:
        """Listen. Raises OSError where the port is taken."""
        loop = asyncio.get_running_loop()
        open_at = [self._addresses[name] for name in self.web.names if not _refuses(self.web, name)]
        for listener in _listen(open_at, self.port, shared=self.parts > 1):
            self.port = listener.getsockname()[1]
            server = await loop.create_server(lambda: WebConnection(self), sock=listener, backlog=1024, ssl=self._tls)
            self._servers.append(server)
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
        """The web's answer, or 421 where the host has another address."""
        if self._addresses.get(host) != address:
            return Answer(status=421, headers=(("Content-Type", "text/plain"),), body=b"no such host here\n")
        return self.web.answer(host, path, attempt, accept)

    def arrived(self) -> int:
        """Count a request as begun; returns the number in flight."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return self.in_flight

    def ended(self, entry: LogEntry) -> None:
        """Count a request as ended and log it."""
        self.in_flight -= 1
        if self._log and self._log.add(entry):
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._log:
            self._log.flush()


def _refuses(web: AnyWeb, name: str) -> bool:
    """Whether a host refuses connections; then all its answers have that fault."""
    return web.document(name, "/robots.txt").fault == "refused"


def _listen(addresses: list[str], port: int, *, shared: bool) -> list[socket.socket]:
    """One listening socket per address, all on one port. Raises OSError where that port is taken."""
    for _ in range(_PORT_TRIES):
        listeners: list[socket.socket] = []
        try:
            for address in addresses:
                chosen = listeners[0].getsockname()[1] if listeners else port
                listeners.append(socket.create_server((address, chosen), reuse_port=shared))
        except OSError as error:
            for listener in listeners:
                listener.close()
            if port or error.errno != errno.EADDRINUSE:
                raise
        else:
            return listeners
    raise OSError(errno.EADDRINUSE, "no port is free at all addresses of the test web")
