"""A fetch that lessons share. Apart from `rounds`, because its imports would count as the start of a process."""

from __future__ import annotations

from threading import local

from crawler.fetch import open_fetcher
from crawler.fetch.base import ClientPlan, Request
from crawler.testweb.flat import NAME

PAGE = Request(f"http://{NAME}/page-0.html")

mine = local()


def fetch(plan: ClientPlan) -> int:
    """Wait for a page of the flat web; each thread of each process opens its client when it needs one."""
    if not hasattr(mine, "session"):
        mine.session = open_fetcher("native", plan)
    return int(mine.session.fetch(PAGE).status)
