"""The raw client loop: what is left of a crawl without the crawler. One process, one event loop, URLs known beforehand,
as many in flight as the condition says, bodies read and thrown away. No engine can be faster without a faster client.

`python -m crawler.compare.raw URLS CONCURRENCY ADDRESS` in a fresh process; its speed is read off the server's log,
like that of every engine.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path


async def fetch_all(urls: list[str], in_flight: int, address: str) -> None:
    """Ask for every URL once, at the address ("127.0.0.1:80") where their one host is."""
    import aiohttp
    from yarl import URL

    left = iter(urls)

    async def one_after_another(session: aiohttp.ClientSession) -> None:
        for url in left:
            host, _, path = url.removeprefix("http://").partition("/")
            target = URL(f"http://{address}/{path}", encoded=True)
            async with session.get(target, headers={"Host": host}, allow_redirects=False) as response:
                await response.read()

    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        await asyncio.gather(*(one_after_another(session) for _ in range(in_flight)))


if __name__ == "__main__":
    import uvloop

    uvloop.run(fetch_all(Path(sys.argv[1]).read_text().split(), int(sys.argv[2]), sys.argv[3]))
