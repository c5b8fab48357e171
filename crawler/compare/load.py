"""A load that costs the one who makes it next to nothing, to find out how much a server can give.

`python -m crawler.compare.load ADDRESS HOST PATH CONNECTIONS SECONDS`: each connection asks again for the same page as
soon as it has it. Nothing is parsed but the length of the answer. Used where neither wrk nor hey is installed; speed is
read off the server's log.
"""

from __future__ import annotations

import asyncio
import re
import sys

LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)
HEAD_END = b"\r\n\r\n"


class Asking(asyncio.Protocol):
    """One connection that asks and asks."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._head = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Count down to the end of the answer, then ask again."""
        if not self._left:
            self._head += data
            head, found, body = self._head.partition(HEAD_END)
            length = LENGTH.search(head)
            if not found or length is None:
                return
            self._head, self._left, data = b"", int(length[1]), body
        self._left -= len(data)
        if not self._left:
            self._ask()

    def _ask(self) -> None:
        self._transport.write(self._request)  # type: ignore[attr-defined]  # uvloop's transports are none by inheritance


async def ask(address: str, host: str, path: str, connections: int, seconds: float) -> None:
    """Keep the connections busy for so long. Raises OSError where they are refused."""
    loop, (name, _, port) = asyncio.get_running_loop(), address.partition(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    made = [await loop.create_connection(lambda: Asking(request), name, int(port)) for _ in range(connections)]
    await asyncio.sleep(seconds)
    for transport, _ in made:
        transport.abort()


if __name__ == "__main__":
    import uvloop

    uvloop.run(ask(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])))
