"""Pages to wait for, with the standard library alone: a server of known latency in its own process, and its clients.

A page is the number of the connection that it came through, so a client can tell how many were opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import local

from crawler.system.parent_death import die_with_parent

BACKLOG = 512
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

mine = local()


@contextmanager
def page_server(latency: float) -> Iterator[int]:
    """A server whose pages take `latency` seconds each; gives its port on 127.0.0.1."""
    context = get_context("spawn")
    listen, tell = context.Pipe(duplex=False)
    server = context.Process(target=_serve, args=(latency, tell), daemon=True)
    server.start()
    try:
        yield listen.recv()
    finally:
        server.kill()
        server.join()


def _serve(latency: float, tell: Connection) -> None:
    die_with_parent()
    numbers = count(1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        page = b"%d" % next(numbers)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(latency)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def listen() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", backlog=BACKLOG)
        tell.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(listen())


def connect(port: int) -> HTTPConnection:
    """A session of one connection, for one thread at a time."""
    return HTTPConnection("127.0.0.1", port)


def get(session: HTTPConnection) -> int:
    """Wait for a page; returns the number of its connection."""
    session.request("GET", "/")
    return int(session.getresponse().read())


def fetch(port: int) -> int:
    """Wait for a page. Each thread of each process opens a session when it needs one, and keeps it."""
    if getattr(mine, "port", None) != port:
        mine.port, mine.session = port, connect(port)
    return get(mine.session)


class LoopSession:
    """A session of one connection for coroutines, opened by its first page."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self) -> int:
        """Wait for a page; returns the number of its connection."""
        if not self._streams:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        return int(await reader.readexactly(int(head.rpartition(b":")[2])))

    def close(self) -> None:
        """Close the connection."""
        if self._streams:
            self._streams[1].close()
