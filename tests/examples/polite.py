"""Crawl the site of somebody else slowly, and say who you are: `python polite.py URL DIR`."""

import sys

import crawler

if __name__ == "__main__":
    done = crawler.crawl(
        sys.argv[1],
        out=sys.argv[2],
        use="polite",
        user_agent="examplebot/1.0 (+https://example.org/bot)",
        delay=0.5,
        max_pages=3,
        exclude=[r"\.(png|jpg|zip)$"],
    )
    print(f"{done.urls} URLs in {done.seconds:.1f} s")
