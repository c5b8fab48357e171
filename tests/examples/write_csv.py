"""Write a line of CSV for each page: `python write_csv.py URL > pages.csv`."""

import asyncio
import csv
import sys

import crawler


async def main(url: str) -> None:
    rows = csv.writer(sys.stdout)
    rows.writerow(("url", "status", "content_type", "bytes", "seconds"))
    async for page in crawler.acrawl(url, use="fast"):
        rows.writerow((page.url, page.status, page.content_type, len(page.body), f"{page.seconds:.3f}"))


asyncio.run(main(sys.argv[1]))
