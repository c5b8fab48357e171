"""One crawling workload, run by interchangeable concurrency engines behind one fetch/store interface.

The public names are imported on first use, so `import crawler` alone is cheap.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from crawler.api import AsyncCrawl, acrawl, crawl, recrawl
    from crawler.errors import CallbackError, CrawlerError, StorageError, UsageError
    from crawler.metrics.summary import Summary
    from crawler.runtime.callbacks import CrawlProgress, FailedUrl
    from crawler.settings import Settings
    from crawler.storage.pages.base import Page
    from crawler.storage.stored_crawl import open

__all__ = [
    "AsyncCrawl",
    "CallbackError",
    "CrawlProgress",
    "CrawlerError",
    "FailedUrl",
    "Page",
    "Settings",
    "StorageError",
    "Summary",
    "UsageError",
    "acrawl",
    "crawl",
    "open",
    "recrawl",
]

_HOMES = {
    "AsyncCrawl": "crawler.api",
    "CallbackError": "crawler.errors",
    "CrawlProgress": "crawler.runtime.callbacks",
    "CrawlerError": "crawler.errors",
    "FailedUrl": "crawler.runtime.callbacks",
    "Page": "crawler.storage.pages.base",
    "Settings": "crawler.settings",
    "StorageError": "crawler.errors",
    "Summary": "crawler.metrics.summary",
    "UsageError": "crawler.errors",
    "acrawl": "crawler.api",
    "crawl": "crawler.api",
    "open": "crawler.storage.stored_crawl",
    "recrawl": "crawler.api",
}


def __dir__() -> list[str]:
    return sorted(globals().keys() | _HOMES.keys())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'crawler' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
