"""A small demo web in a separate process, and settings to crawl it fast.

The host that answers with Retry-After is not among the seeds: its waits, one after another, take longer than all the
rest of a crawl. `WHOLE` is what a crawl of all seeds ends with.
"""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from time import monotonic, sleep

from crawler.core.messages import Stop
from crawler.core.reasons import Ending
from crawler.metrics.summary import Summary
from crawler.run import Watch, execute
from crawler.runtime.job import Run
from crawler.settings import Settings, merge_layers
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.rows import SettledRow
from crawler.testweb.hosts import Part
from crawler.testweb.oracle import crawl_digest, expected, split
from crawler.testweb.process import StartedWeb
from crawler.testweb.web import Web

HOSTS, PAGES = 16, 150
DELAY = 0.01
WEB = Web(hosts=HOSTS, pages=PAGES)
WHOLE = expected(WEB)
BUSY = next(name for name, host in WEB.hosts.items() if host.part is Part.BUSY)
EXPECTED = {url: end for url, end in WHOLE.items() if split(url)[0] != BUSY}
DIGEST = crawl_digest(EXPECTED)


def seeds(web: StartedWeb) -> tuple[str, ...]:
    """The seeds of a crawl that ends with EXPECTED; all seeds of a flat web."""
    return tuple(seed for seed in web.settings.seeds if split(seed)[0] != BUSY)


def settings(web: StartedWeb, mode: str, **keys: object) -> Settings:
    """Settings that crawl the web in two or three seconds, as politely as it asks for."""
    return merge_layers(
        {
            "mode": mode,
            "seeds": seeds(web),
            "resolve": web.settings.resolve,
            "attempt_header": web.settings.attempt_header,
            "delay": DELAY,
            "backoff": 0.05,
            "robots_backoff": 0.02,
            "breaker_rest": 0.05,
            "host_patience": 0.3,
            "timeout": 5.0,
            "concurrency": 16,
            "processes": 2,
            **keys,
        }
    )


def crawl(path: Path, chosen: Settings, watch: Watch = lambda run: None) -> Summary:
    """One run in this directory, the first or a further one."""
    known = CrawlDirectory.exists(path)
    directory = CrawlDirectory.open(path) if known else CrawlDirectory.create(path, chosen, demo=False, fresh=False)
    try:
        return execute(directory, chosen, watch)
    finally:
        directory.close()


def rows(path: Path) -> dict[str, SettledRow]:
    """The settled rows of a directory by URL."""
    directory = CrawlDirectory.open_readonly(path)
    frontier = directory.open_frontiers()
    try:
        return {row.url: row for row in frontier.settled()}
    finally:
        frontier.close()


def stop_after(pages: int) -> Watch:
    """Stop the crawl as soon as so many URLs were fetched."""

    def watch(run: Run) -> None:
        def wait() -> None:
            give_up_at = monotonic() + 60
            while run.stats.urls < pages and monotonic() < give_up_at:
                sleep(0.002)
            run.post(Stop())

        Thread(target=wait, daemon=True).start()

    return watch


__all__ = ["DELAY", "DIGEST", "EXPECTED", "WEB", "WHOLE", "Ending", "crawl", "rows", "seeds", "settings", "stop_after"]
