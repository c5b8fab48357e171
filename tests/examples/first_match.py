"""Stop at the first page with a word in it: `python first_match.py URL WORD`."""

import asyncio
import sys

import crawler


async def main(url: str, word: bytes) -> None:
    async with crawler.acrawl(url, use="fast") as pages:  # leaving the block ends the crawl
        async for page in pages:
            if word in page.body:
                print(f"found in {page.url} after {pages.progress.settled} URLs")
                break


asyncio.run(main(sys.argv[1], sys.argv[2].encode()))
