"""TLS inside TLS, for a site behind a proxy that is spoken to by TLS: the standard library wraps plain sockets only."""

from __future__ import annotations

import ssl
from time import monotonic

_READ = 64 * 1024


class TlsInTls:
    """A connected TLS socket over another; has the methods of a socket that the native client uses. Raises OSError,
    TimeoutError."""

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext, name: str, give_up_at: float) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._inner = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        while True:
            outer.settimeout(max(0.001, give_up_at - monotonic()))
            try:
                self._inner.do_handshake()
                self._flush()
                return
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()

    def settimeout(self, seconds: float | None) -> None:
        """Set the timeout of each read and write of the outer socket."""
        self._outer.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """That timeout."""
        return self._outer.gettimeout()

    def sendall(self, data: bytes) -> None:
        """Send all bytes."""
        self._inner.write(data)
        self._flush()

    def recv(self, size: int) -> bytes:
        """The next bytes, b"" after a close_notify of the site. Raises SSLEOFError at an end without one."""
        while True:
            try:
                return self._inner.read(size)
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLZeroReturnError:
                return b""

    def _fill(self) -> None:
        data = self._outer.recv(_READ)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._outer.sendall(data)

    def close(self) -> None:
        """Close both."""
        self._outer.close()
