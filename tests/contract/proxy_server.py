"""A proxy on loopback for tests: HTTP (absolute form, CONNECT) and SOCKS 5, with a login or without, over TLS or not.

It resolves every name to loopback, so that names which only it knows lead to the servers of the test.
"""

from __future__ import annotations

import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

Relay = Callable[[socket.socket], None]


class ProxyServer:
    """A proxy; `asked` has each request to it: the first line of HTTP, or "SOCKS host:port". `heads` has the heads of
    HTTP requests, `connections` counts those accepted. `relays`: what follows the first request in absolute form goes
    to its site as it is, as some real proxies do. `answers`: sent one after the other on each
    connection, each after something was received, instead of serving it."""

    def __init__(
        self,
        kind: str = "http",
        login: str = "",
        context: ssl.SSLContext | None = None,
        answers: tuple[bytes, ...] = (),
        relays: bool = False,
    ) -> None:
        self.asked: list[str] = []
        self.heads: list[bytes] = []
        self.connections = 0
        self._kind = kind
        self._login = login
        self._context = context
        self._answers = answers
        self._relays = relays
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        port = self._listener.getsockname()[1]
        scheme = "socks5h" if kind == "socks" else "https" if context else "http"
        self.url = f"{scheme}://{'proxy.test' if context else '127.0.0.1'}:{port}"
        self.port: int = port

    def __enter__(self) -> ProxyServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in list(self._open):
            line.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with suppress(OSError, ValueError):
            if self._context is not None:
                line = self._context.wrap_socket(line, server_side=True)
            self._open.add(line)
            if self._answers:
                for answer in self._answers:
                    line.recv(65_536)
                    line.sendall(answer)
            elif self._kind == "socks":
                self._serve_socks(line)
            else:
                self._serve_http(line)
        line.close()

    def _serve_http(self, line: socket.socket) -> None:
        while head := _head(line):
            self.heads.append(head)
            first = head.partition(b"\r\n")[0].decode()
            self.asked.append(first)
            given = b"Proxy-Authorization: Basic " + b64encode(self._login.encode()) + b"\r\n"
            if self._login and given not in head:
                line.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                continue
            method, target, _ = first.split()
            if method == "CONNECT":
                other = socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2])))
                line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _relay(line, other)
                return
            authority, slash, path = target.removeprefix("http://").partition("/")
            with socket.create_connection(("127.0.0.1", int(authority.rpartition(":")[2]))) as other:
                lines = [one for one in head.split(b"\r\n")[1:] if one and not one.startswith(b"Proxy-")]
                other.sendall(b"\r\n".join((f"GET {slash}{path} HTTP/1.1".encode(), *lines, b"", b"")))
                if self._relays:
                    _relay(line, other)
                    return
                reply = _head(other)
                length = int(reply.lower().partition(b"content-length:")[2].split()[0])
                kept = reply.replace(b"\r\n", b"\r\nConnection: keep-alive\r\n", 1)
                line.sendall(kept + _exactly(other, length - len(reply.partition(b"\r\n\r\n")[2])))

    def _serve_socks(self, line: socket.socket) -> None:
        version, count = _exactly(line, 2)
        methods = _exactly(line, count)
        wanted = 2 if self._login else 0
        assert version == 5
        if wanted not in methods:
            line.sendall(b"\x05\xff")
            return
        line.sendall(bytes([5, wanted]))
        if self._login:
            user = _exactly(line, _exactly(line, 2)[1])
            password = _exactly(line, _exactly(line, 1)[0])
            refused = b"%b:%b" % (user, password) != self._login.encode()
            line.sendall(bytes([1, refused]))
            if refused:
                return
        kind = _exactly(line, 4)[3]
        if kind == 3:
            host = _exactly(line, _exactly(line, 1)[0]).decode()
        else:
            host = socket.inet_ntop(
                *((socket.AF_INET, _exactly(line, 4)) if kind == 1 else (socket.AF_INET6, _exactly(line, 16)))
            )
        port = int.from_bytes(_exactly(line, 2), "big")
        self.asked.append(f"SOCKS {host}:{port}")
        try:
            other = socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            line.sendall(b"\x05\x05\x00\x01" + bytes(6))
            return
        line.sendall(b"\x05\x00\x00\x01" + bytes(6))
        _relay(line, other)


def _head(line: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        more = line.recv(65_536)
        if not more:
            return b""
        received += more
    return received


def _exactly(line: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        more = line.recv(size - len(received))
        if not more:
            raise OSError("closed")
        received += more
    return received


def _relay(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=_copy, args=(other, one), daemon=True)
    back.start()
    _copy(one, other)
    back.join()
    other.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while block := source.recv(65_536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
