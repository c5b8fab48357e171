"""Crawlee as its documentation shows it: a BeautifulSoupCrawler whose handler calls `enqueue_links`.

`python -m crawler.bench.crawlee_crawl URL CONCURRENCY RESULT EXCLUDE...` in a fresh process, with the extra `peers`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import msgspec
from crawlee import ConcurrencySettings
from crawlee.configuration import Configuration
from crawlee.crawlers import BeautifulSoupCrawler, BeautifulSoupCrawlingContext
from crawlee.storage_clients import MemoryStorageClient

from crawler.bench.child_result import ChildResult, cpu


async def crawl(url: str, in_flight: int, exclude: list[str]) -> ChildResult:
    """Crawl the host of `url` except paths in which an expression of `exclude` is found. All data stays in memory."""
    patterns, urls = [re.compile(text) for text in exclude], list[str]()
    crawler = BeautifulSoupCrawler(
        configuration=Configuration(log_level="CRITICAL", available_memory_ratio=0.9),
        storage_client=MemoryStorageClient(),
        concurrency_settings=ConcurrencySettings(
            min_concurrency=in_flight, desired_concurrency=in_flight, max_concurrency=in_flight
        ),
        configure_logging=False,
    )

    def ours(link: Any) -> Any:
        path = urlsplit(link["url"]).path
        return "skip" if any(pattern.search(path) for pattern in patterns) else "unchanged"

    @crawler.router.default_handler
    async def handle(context: BeautifulSoupCrawlingContext) -> None:
        urls.extend(filter(None, (context.request.url, context.request.loaded_url)))  # also the target of a redirect
        await context.enqueue_links(strategy="same-origin", transform_request_function=ours)

    @crawler.failed_request_handler
    async def failed(context: Any, error: Exception) -> None:
        urls.append(context.request.url)

    cpu_before, began = cpu(), perf_counter()
    await crawler.run([url])
    return ChildResult(len(urls), perf_counter() - began, cpu() - cpu_before, urls=tuple(urls))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    found = asyncio.run(crawl(sys.argv[1], int(sys.argv[2]), sys.argv[4:]))
    Path(sys.argv[3]).write_bytes(msgspec.json.encode(found))
