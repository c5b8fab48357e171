"""The raw client loop: fetches without a crawler. One process, one event loop, known URLs, as many in flight as the
condition says, bodies read and discarded. No engine can be faster without a faster client.

`python -m crawler.compare.raw URLS CONCURRENCY ADDRESS [AUTHORITY]` in a fresh process, with the certificate to trust
where the URLs are https; its rate is computed from the server's log, like that of every engine.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class RawTarget(NamedTuple):
    """The URL to fetch and its Host header, which the certificate is for, too; "" where the URL has the host."""

    url: str
    host: str = ""


@dataclass
class RawAnswers:
    """What a raw loop received: the count of each status, and the bytes of all bodies as they were sent."""

    statuses: Counter[str] = field(default_factory=Counter)
    size: int = 0

    def add(self, status: int, size: int) -> None:
        """Count one answer."""
        self.statuses[str(status)] += 1
        self.size += size


async def fetch_all(
    targets: Iterable[RawTarget],
    in_flight: int,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> RawAnswers:
    """Fetch every target once, on this event loop. `headers` go with every request; `tls` None: as aiohttp does it."""
    import aiohttp
    from yarl import URL

    left, received = iter(targets), RawAnswers()

    async def one_after_another(session: aiohttp.ClientSession) -> None:
        for url, host in left:
            named = {"Host": host} if host else None
            asked = session.get(
                URL(url, encoded=True), headers=named, allow_redirects=False, server_hostname=host or None
            )
            async with asked as response:
                received.add(response.status, len(await response.read()))

    connector = aiohttp.TCPConnector(limit=in_flight, ssl=tls or True)
    async with aiohttp.ClientSession(connector=connector, headers=headers, auto_decompress=False) as session:
        await asyncio.gather(*(one_after_another(session) for _ in range(in_flight)))
    return received


def at(address: str, url: str) -> RawTarget:
    """A URL of the one host that is served at an address ("127.0.0.1:80")."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    return RawTarget(f"{scheme}://{address}/{path}", host)


def main(urls: str, in_flight: str, address: str, authority: str = "") -> None:
    """Fetch the URLs in a file."""
    import uvloop

    from crawler.fetch.net.tls import tls_context

    targets = [at(address, url) for url in Path(urls).read_text().split()]
    uvloop.run(fetch_all(targets, int(in_flight), tls=tls_context(authority) if authority else None))


if __name__ == "__main__":
    main(*sys.argv[1:])
