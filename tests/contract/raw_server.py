"""A server that sends exactly the bytes of a script, and records exactly the bytes it received."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from types import TracebackType

Step = bytes | float | str
"""Bytes are sent, a number is a pause in seconds, "close" ends the connection, "reset" by RST, "keep" keeps it open."""

PATIENCE = 10.0


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until the condition holds. Raises AssertionError where it does not within the seconds."""
    give_up_at = monotonic() + seconds
    while not condition():
        assert monotonic() < give_up_at, f"not within {seconds} s"
        sleep(0.001)


class RawServer:
    """Serves scripts on a loopback port: `reply(path)` is the script for a request.

    `requests` has the heads received, `connections` counts those accepted, `open` those not closed yet, `played` the
    scripts played to their end, and `pausing` is set as soon as a script has come to a pause. Leaving the block accepts
    all connections made until then and reads what they carry, so that `requests` is final afterwards.
    """

    def __init__(self, reply: Callable[[str], list[Step]]) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.played = 0
        self.pausing = threading.Event()
        self._reply = reply
        self._ended = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._last: object = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """How many connections are open on this side."""
        return len(self._open)

    def wait_played(self, count: int) -> None:
        """Wait until so many scripts were played to their end."""
        until(lambda: self.played == count)

    def __enter__(self) -> RawServer:
        self._acceptor.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        with socket.socket() as last:  # connections are accepted in the order in which they were made
            last.bind(("127.0.0.1", 0))
            self._last = last.getsockname()
            last.settimeout(PATIENCE)
            last.connect(("127.0.0.1", self.port))
            self._acceptor.join(PATIENCE)
        self._listener.close()
        for line in list(self._open):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)  # what has been received can still be read
        for thread in self._threads:
            thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            line, address = self._listener.accept()
            if address == self._last:
                line.close()
                return
            self.connections += 1
            self._open.add(line)
            thread = threading.Thread(target=self._serve, args=(line,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, line: socket.socket) -> None:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
            line.close()
            self._open.discard(line)

    def _play(self, line: socket.socket, steps: list[Step]) -> bool:
        try:
            for step in steps:
                if isinstance(step, bytes):
                    line.sendall(step)
                elif isinstance(step, str):
                    if step == "reset":
                        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return step == "keep"
                else:
                    self.pausing.set()
                    if self._ended.wait(step):
                        return False
            return True
        finally:
            self.played += 1


def response(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """A well-formed response with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A response in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + end
