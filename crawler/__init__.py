"""One crawling workload, run by interchangeable concurrency engines behind one fetch/store interface.

The public names are imported when they are first used: `import crawler` alone costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from crawler.api import acrawl, crawl
    from crawler.errors import CrawlerError, StorageError, UsageError
    from crawler.metrics.summary import Summary
    from crawler.settings import Settings
    from crawler.storage.pages.base import Page

__all__ = ["CrawlerError", "Page", "Settings", "StorageError", "Summary", "UsageError", "acrawl", "crawl"]

_HOMES = {
    "CrawlerError": "errors",
    "Page": "store.base",
    "Settings": "settings",
    "StorageError": "errors",
    "Summary": "summary",
    "UsageError": "errors",
    "acrawl": "api",
    "crawl": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'crawler' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"crawler.{_HOMES[name]}"), name)
