"""A cheap load generator, to measure the capacity of a server.

`python -m crawler.compare.load ADDRESS HOST PAGES CONNECTIONS SECONDS [AUTHORITY]`: each connection requests one of so
many pages of the flat web after the other, over TLS where there is a certificate to trust. Only the length of the
answer is parsed. The rate is computed from the server's log.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
from collections.abc import Iterator
from itertools import cycle

LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)
HEAD_END = b"\r\n\r\n"


class Asking(asyncio.Protocol):
    """One connection that makes a request after the other."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._head = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Count down to the end of the answer, then send the next request."""
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
        self._transport.write(next(self._requests))  # type: ignore[attr-defined]  # uvloop's transports are none by inheritance


async def ask(
    address: str, host: str, pages: int, connections: int, seconds: float, tls: ssl.SSLContext | None = None
) -> None:
    """Keep the connections busy for `seconds`. Raises OSError where they are refused."""
    loop, (name, _, port) = asyncio.get_running_loop(), address.partition(":")
    requests = cycle([f"GET /page-{n}.html HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() for n in range(pages)])
    named = host if tls else None
    made = [
        await loop.create_connection(lambda: Asking(requests), name, int(port), ssl=tls, server_hostname=named)
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    for transport, _ in made:
        transport.abort()


def main(address: str, host: str, pages: str, connections: str, seconds: str, authority: str = "") -> None:
    """Load a server as the arguments say."""
    import uvloop

    from crawler.fetch.net.tls import tls_context

    tls = tls_context(authority) if authority else None
    uvloop.run(ask(address, host, int(pages), int(connections), float(seconds), tls))


if __name__ == "__main__":
    main(*sys.argv[1:])
