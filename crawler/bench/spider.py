"""Scrapy as its documentation shows it: a CrawlSpider whose Rule follows what a LinkExtractor finds.

`scrapy runspider spider.py -a url=URL -a exclude=JSON -a result=FILE -s ...`, perhaps with another interpreter than
ours, so nothing of this project may be imported here. It writes the fields of `child_result.ChildResult` to the file.
"""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from scrapy import signals
from scrapy.linkextractors import LinkExtractor
from scrapy.spiders import CrawlSpider, Rule


class BenchSpider(CrawlSpider):
    """Follows every link within the host of `url`, except paths in which an expression of `exclude` is found."""

    name = "bench"
    rules = (Rule(LinkExtractor(deny_extensions=[]), process_links="ours", follow=True),)

    def __init__(self, url: str, exclude: str, result: str) -> None:
        super().__init__()
        self.start_urls = [url]
        self._exclude = [re.compile(text) for text in json.loads(exclude)]
        self._origin, self._result = urlsplit(url)[:2], Path(result)
        self._urls: list[str] = []

    @classmethod
    def from_crawler(cls, crawler: Any, *args: Any, **options: Any) -> BenchSpider:
        """Listen to the downloader's signals, so that every fetch counts, not only those of the spider."""
        spider: BenchSpider = super().from_crawler(crawler, *args, **options)
        crawler.signals.connect(spider.began, signals.spider_opened)
        crawler.signals.connect(spider.fetched, signals.response_downloaded)
        crawler.signals.connect(spider.ended, signals.spider_closed)
        return spider

    def ours(self, links: list[Any]) -> list[Any]:
        """The links in the scope of our crawl."""
        return [link for link in links if self._admits(*urlsplit(link.url)[:3])]

    def _admits(self, scheme: str, host: str, path: str) -> bool:
        return (scheme, host) == self._origin and not any(pattern.search(path) for pattern in self._exclude)

    def began(self) -> None:
        """Start the clocks."""
        self._at, self._cpu = perf_counter(), _cpu()

    def fetched(self, response: Any, request: Any) -> None:
        """Record the URL of a response."""
        self._urls.append(request.url)

    def ended(self) -> None:
        """Write the result."""
        seconds, cpu = perf_counter() - self._at, _cpu() - self._cpu
        found = {"count": len(self._urls), "seconds": seconds, "cpu": cpu, "urls": self._urls}
        self._result.write_text(json.dumps(found), encoding="utf-8")


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
