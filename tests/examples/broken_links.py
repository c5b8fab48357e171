"""List the URLs of a site that do not work, and why: `python broken_links.py URL DIR`."""

import sys

import crawler


def report(failed: crawler.FailedUrl) -> None:
    print(failed.status or failed.reason, failed.url)


if __name__ == "__main__":
    crawler.crawl(sys.argv[1], out=sys.argv[2], use="fast", on_error=report)
