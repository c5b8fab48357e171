"""Scrapy as its documentation shows it: a CrawlSpider whose Rule follows what a LinkExtractor finds.

`scrapy runspider spider.py -a url=URL -a exclude=JSON -a told=FILE -s ...`, perhaps by another interpreter than ours:
nothing of this project may be imported here. It writes what `crawler.bench.child_result.Told` holds into the file.
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
    """Follows every link within the host of `url` whose path none of the expressions in `exclude` is found in."""

    name = "bench"
    rules = (Rule(LinkExtractor(deny_extensions=[]), process_links="ours", follow=True),)

    def __init__(self, url: str, exclude: str, told: str) -> None:
        super().__init__()
        self.start_urls = [url]
        self._exclude = [re.compile(text) for text in json.loads(exclude)]
        self._origin, self._told = urlsplit(url)[:2], Path(told)
        self._urls: list[str] = []

    @classmethod
    def from_crawler(cls, crawler: Any, *args: Any, **options: Any) -> BenchSpider:
        """Watch the downloader: what it fetched is what counts, whoever asked for it."""
        spider: BenchSpider = super().from_crawler(crawler, *args, **options)
        crawler.signals.connect(spider.began, signals.spider_opened)
        crawler.signals.connect(spider.fetched, signals.response_downloaded)
        crawler.signals.connect(spider.ended, signals.spider_closed)
        return spider

    def ours(self, links: list[Any]) -> list[Any]:
        """The same scope as that of our crawl."""
        return [link for link in links if self._admits(*urlsplit(link.url)[:3])]

    def _admits(self, scheme: str, host: str, path: str) -> bool:
        return (scheme, host) == self._origin and not any(pattern.search(path) for pattern in self._exclude)

    def began(self) -> None:
        """Start the clocks."""
        self._at, self._cpu = perf_counter(), _cpu()

    def fetched(self, response: Any, request: Any) -> None:
        """Note a URL."""
        self._urls.append(request.url)

    def ended(self) -> None:
        """Tell."""
        seconds, cpu = perf_counter() - self._at, _cpu() - self._cpu
        told = {"count": len(self._urls), "seconds": seconds, "cpu": cpu, "urls": self._urls}
        self._told.write_text(json.dumps(told), encoding="utf-8")


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
