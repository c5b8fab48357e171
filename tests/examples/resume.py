"""Crawl in portions of five URLs; call it again to go on: `python resume.py URL DIR`."""

import sys

import crawler

if __name__ == "__main__":
    url, out = sys.argv[1:]
    done = crawler.crawl(url, out=out, use="fast", resume=True, max_pages=5)
    print(f"{done.ending} at {done.urls} URLs, {done.owed} are owed")
    done = crawler.crawl(out=out, use="fast", resume=True)
    print(f"{done.ending} at {done.urls} URLs, {done.owed} are owed")
