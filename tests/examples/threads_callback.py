"""Collect the sizes of all pages with the `threads` engine: `python threads_callback.py URL DIR`."""

import sys

import crawler

sizes: dict[str, int] = {}


def measure(page: crawler.Page) -> None:
    sizes[page.url] = len(page.body)  # no lock needed: all calls come from one thread


if __name__ == "__main__":
    crawler.crawl(sys.argv[1], out=sys.argv[2], use="fast", mode="threads", on_page=measure)
    largest = max(sizes, key=lambda url: sizes[url])
    print(f"{len(sizes)} pages, the largest is {largest}")
