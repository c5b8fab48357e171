"""Keep pages in a database of your own, and nothing else: `python own_database.py URL FILE`."""

import asyncio
import sqlite3
import sys

import crawler


async def main(url: str, path: str) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE IF NOT EXISTS page (url TEXT PRIMARY KEY, status INTEGER, body BLOB)")
    async for page in crawler.acrawl(url, use="fast"):
        with database:
            database.execute("REPLACE INTO page VALUES (?, ?, ?)", (page.url, page.status, page.body))
    print(*database.execute("SELECT count(*) FROM page").fetchone(), "pages")


asyncio.run(main(*sys.argv[1:]))
