"""Crawls of records and rows that a test decides, and the check that a report is a page that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

from crawler.core.messages import HostNote, Link, Settled
from crawler.core.reasons import Ending, Reason
from crawler.report.facts import Facts
from crawler.report.reading import read
from crawler.settings import Settings
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.base import Batch
from crawler.storage.manifest import RunCost
from crawler.storage.pages.base import Page

Visit = tuple[str, float, float]
"""URL, start in Unix time, seconds."""


class Written:
    """A crawl that a test writes. Visits are stored pages, ends are settled URLs."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.directory = CrawlDirectory.create(path, settings, demo=False, fresh=False)
        self.frontier = self.directory.frontier()
        self.directory.begin_run(settings)
        self._next = 1

    def commit(self, settled: Sequence[Settled], notes: Sequence[HostNote] = (), at: float = 1e9) -> None:
        links = [Link(end.id, end.url, 0) for end in settled]
        self.frontier.commit(Batch(queued=links, settled=list(settled), notes=list(notes)), at)

    def end(self, url: str, reason: Reason = Reason.OK, **keys: object) -> Settled:
        self._next += 1
        return Settled(self._next, url, reason, **{"status": 200, "attempts": 1, "seconds": 0.1, **keys})  # type: ignore[arg-type]

    def store(self, part: str, visits: Sequence[Visit]) -> None:
        with closing(self.directory.store().writer(part)) as writer:
            for url, start, seconds in visits:
                writer.put(Page(url, 200, (), start + seconds, seconds, "text/html", "utf-8", b"", b"body"))

    def fetch(self, part: str, visits: Sequence[Visit], at: float = 1e9) -> None:
        """Store pages and settle their URLs with one commit, at `at`."""
        self.store(part, visits)
        self.commit(
            [
                self.end(url, part=part, position=place, size=4, seconds=seconds)
                for place, (url, _, seconds) in enumerate(visits, 1)
            ],
            at=at,
        )

    def finish(self, cpu_seconds: float = 1.5, peak_memory: int = 50_000_000) -> None:
        """End the run."""
        run = self.directory.manifest.runs
        self.directory.end_run(Ending.COMPLETE, RunCost(run, "async", "aiohttp", cpu_seconds, peak_memory))

    def facts(self) -> Facts:
        return read(self.directory)

    def close(self) -> None:
        self.frontier.close()
        self.directory.close()


class Elements(HTMLParser):
    """The elements and attributes of a page, as a browser would see them, its links and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs if (tag, name) != ("a", "href")}
        self.links += [value or "" for name, value in attrs if (tag, name) == ("a", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def check_page(text: str) -> Elements:
    """A page that needs nothing else, runs nothing and is small. What it links to are its sections and web pages."""
    found = Elements(text)
    assert not found.tags & {"script", "img", "link", "iframe", "object", "form", "base"}
    assert not {name for name in found.attributes if name.startswith("on")} | found.attributes & {
        "src",
        "href",
        "style",
    }
    sections = {f"#{key}" for key in re.findall(r'<section id="(\w+)"', text)}
    assert all(link in sections or re.fullmatch(r"https?://[!-~]+", link) for link in found.links)
    assert "<nav" not in text or sections <= set(found.links)
    assert "default-src 'none'" in text
    assert "url(" not in text and "@import" not in text
    assert len(text.encode()) < 500_000
    return found
