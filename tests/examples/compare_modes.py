"""Crawl with two engines; equal digests mean equal work: `python compare_modes.py URL DIR`."""

import sys
from pathlib import Path

import crawler

if __name__ == "__main__":
    for mode in ("async", "threads"):
        done = crawler.crawl(sys.argv[1], out=Path(sys.argv[2], mode), use="fast", mode=mode)
        print(f"{mode}: {done.urls} URLs at {done.pages_per_second:.0f}/s, digest {done.digest}")
