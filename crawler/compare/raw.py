"""The raw client loop: fetches without a crawler. One process, one event loop, known URLs, as many in flight as the
condition says, bodies read and discarded. No engine can be faster without a faster client.

`python -m crawler.compare.raw URLS CONCURRENCY ADDRESS` in a fresh process; its rate is computed from the server's log,
like that of every engine.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class RawTarget(NamedTuple):
    """The URL to fetch and its Host header; "" where the URL has the host."""

    url: str
    host: str = ""


async def fetch_all(targets: Iterable[RawTarget], in_flight: int) -> Counter[str]:
    """Fetch every target once, on this event loop; returns the count of each status."""
    import aiohttp
    from yarl import URL

    left, statuses = iter(targets), Counter[str]()

    async def one_after_another(session: aiohttp.ClientSession) -> None:
        for url, host in left:
            headers = {"Host": host} if host else None
            async with session.get(URL(url, encoded=True), headers=headers, allow_redirects=False) as response:
                await response.read()
                statuses[str(response.status)] += 1

    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        await asyncio.gather(*(one_after_another(session) for _ in range(in_flight)))
    return statuses


def at(address: str, url: str) -> RawTarget:
    """A URL of the one host that is served at an address ("127.0.0.1:80")."""
    host, _, path = url.removeprefix("http://").partition("/")
    return RawTarget(f"http://{address}/{path}", host)


if __name__ == "__main__":
    import uvloop

    uvloop.run(fetch_all((at(sys.argv[3], url) for url in Path(sys.argv[1]).read_text().split()), int(sys.argv[2])))
