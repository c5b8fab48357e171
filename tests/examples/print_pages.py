"""Print every page of a site as it arrives: `python print_pages.py URL`."""

import asyncio
import sys

import crawler


async def main(url: str) -> None:
    async for page in crawler.acrawl(url, use="fast"):
        print(page.status, len(page.body), page.url)


asyncio.run(main(sys.argv[1]))
