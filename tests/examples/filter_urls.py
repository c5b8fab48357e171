"""Crawl only the URLs that a function admits: `python filter_urls.py URL DIR`."""

import sys
from urllib.parse import urlsplit

import crawler


def short_and_without_query(url: str) -> bool:
    parts = urlsplit(url)
    return not parts.query and parts.path.count("/") <= 2


if __name__ == "__main__":
    summary = crawler.crawl(sys.argv[1], out=sys.argv[2], use="fast", filter=short_and_without_query)
    print(summary.pages, "pages,", summary.not_followed.get("excluded", 0), "links filtered")
