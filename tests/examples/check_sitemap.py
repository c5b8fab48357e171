"""Ask for every URL of a sitemap and list those that fail: `python check_sitemap.py URL-OF-SITEMAP`."""

import asyncio
import re
import sys

import crawler


async def main(sitemap: str) -> None:
    (listing,) = [page async for page in crawler.acrawl(sitemap, use="fast", max_depth=0)]
    pages = crawler.acrawl(*re.findall(r"<loc>\s*(.+?)\s*</loc>", listing.body.decode()), use="fast", max_depth=0)
    found = [page.url async for page in pages]
    print(len(found), "of the sitemap answered")
    for failed in pages.failures:
        print("missing:", failed.url)


asyncio.run(main(sys.argv[1]))
