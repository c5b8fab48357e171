"""A server that sends exactly the bytes a test wrote down, and keeps exactly those it got."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

Step = bytes | float | str
"""Bytes are sent, a number is a rest in seconds, "close" ends the connection, "reset" by RST, "keep" goes on."""


class RawServer:
    """Serves scripts on a loopback port: `reply(path)` says what to do with a request.

    `requests` keeps the heads received, `connections` counts those accepted.
    """

    def __init__(self, reply: Callable[[str], list[Step]]) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._reply = reply
        self._ended = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> RawServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in list(self._open):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open.add(line)
        received = b""
        try:
            while True:
                while b"\r\n\r\n" not in received:
                    more = line.recv(65_536)
                    if not more:
                        return
                    received += more
                head, _, received = received.partition(b"\r\n\r\n")
                self.requests.append(head)
                if not self._play(line, self._reply(head.split(b" ", 2)[1].decode("latin-1"))):
                    return
        except OSError:
            return
        finally:
            self._open.discard(line)
            line.close()

    def _play(self, line: socket.socket, steps: list[Step]) -> bool:
        for step in steps:
            if isinstance(step, bytes):
                line.sendall(step)
            elif isinstance(step, str):
                if step == "reset":
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return step == "keep"
            elif self._ended.wait(step):
                return False
        return True


def response(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """A well-formed response with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A response in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + end
