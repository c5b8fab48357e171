"""TLS inside TLS, for a site behind a proxy that is spoken to by TLS: the standard library wraps plain sockets only."""

from __future__ import annotations

import ssl

_READ = 64 * 1024


class TlsInTls:
    """A TLS socket over another; has the methods of a socket that the native client uses. Raises OSError, TimeoutError
    after the timeout of the outer socket: reads and the handshake can then be repeated."""

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext, name: str) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._inner = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    def do_handshake(self) -> None:
        """Agree on keys, and check the certificate of the site."""
        while True:
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
