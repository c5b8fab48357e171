"""Show how far a crawl is, once a second: `python progress.py URL DIR`."""

import sys

import crawler


def show(now: crawler.CrawlProgress) -> None:
    print(f"{now.settled} done, {now.queued} to do, {now.in_flight} in flight, {now.bytes:,} bytes {now.paused}")


if __name__ == "__main__":
    crawler.crawl(sys.argv[1], out=sys.argv[2], use="fast", on_progress=show)
