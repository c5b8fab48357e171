"""Count the pages of a site and their bytes by content type: `python count_by_type.py URL`."""

import asyncio
import sys
from collections import Counter

import crawler


async def main(url: str) -> None:
    pages, size = Counter[str](), Counter[str]()
    async for page in crawler.acrawl(url, use="fast"):
        pages[page.content_type] += 1
        size[page.content_type] += len(page.body)
    for kind, count in pages.most_common():
        print(f"{count} {kind}: {size[kind]} bytes")


asyncio.run(main(sys.argv[1]))
