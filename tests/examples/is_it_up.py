"""Say whether a crawl has reached its site, and if not, why: `python is_it_up.py URL`."""

import asyncio
import sys

import crawler


async def main(url: str) -> None:
    pages = crawler.acrawl(url, use="fast", max_pages=1, attempts=1, host_patience=1)
    async for page in pages:
        print("up:", page.url)
    for failed in pages.failures:
        print("down:", failed.url, failed.reason, failed.detail)
    assert pages.summary is not None  # the crawl has ended
    sys.exit(pages.summary.ending == "failed")


asyncio.run(main(sys.argv[1]))
