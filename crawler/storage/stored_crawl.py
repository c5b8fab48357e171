"""A crawl on disk as a program reads it: its URLs, its pages, its links.

Rules:
- Everything is streamed: memory does not grow with the crawl. It may be read while another process works on it.
- Links are not stored. They are read from the stored bodies by the rules of the crawl, so there is no second truth that
  could differ, and a crawl spends nothing on them. It costs about a quarter of a millisecond of CPU for each page.
- A redirect links to its target. (Rows of earlier versions do not have it.)
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from crawler.core.messages import SitemapNaming
from crawler.core.page.links import page_headers, read_page
from crawler.core.reasons import PARTLY_READ
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Resolver, canonical
from crawler.core.urls.normalization import normalizer
from crawler.core.urls.scope import Scope
from crawler.errors import Corrupt
from crawler.settings import open_scope
from crawler.storage.crawl_files import repair_hint
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.generations import chosen
from crawler.storage.pages.base import Page

BY_THE_USER = SitemapNaming(trusted=True)


def open(path: str | PathLike[str], generation: int | None = None) -> StoredCrawl:
    """A generation of the crawl in a directory, to read; the last one for None. Raises UsageError where there is none,
    Corrupt where it is damaged."""
    return StoredCrawl(CrawlDirectory.open_readonly(chosen(Path(path), generation)))


class StoredCrawl:
    """One crawl, to read; a context manager that closes its files. Its methods raise StorageError where the disk fails
    and Corrupt where a file is damaged."""

    def __init__(self, directory: CrawlDirectory) -> None:
        self._directory = directory
        self._frontier = directory.open_frontiers()
        self._store = directory.store()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._frontier.close()
        self._store.close()

    def urls(self, by_url: bool = False) -> Iterator[SettledRow]:
        """Every settled URL, in the order of admission or in that of the URLs."""
        return self._frontier.settled(by_url)

    def pages(self) -> Iterator[Page]:
        """Every stored page, in the order in which their URLs were admitted."""
        return (self.read(row) for row in self.urls() if row.part)

    def links(self) -> Iterator[tuple[str, str]]:
        """Every link that the crawl could follow, as (URL of the page, URL of the target), in the order of the
        pages' URLs and of each page."""
        return ((row.url, target) for row in self.urls(by_url=True) for target in self.targets(row))

    def find(self, url: str) -> SettledRow | None:
        """The row of a URL in any spelling; None where it is not settled."""
        return next(filter(None, map(self._frontier.find, self._spellings(url))), None)

    def is_owed(self, url: str) -> bool:
        """Whether a URL, in any spelling, was admitted and is not settled. Reads all that are owed."""
        spellings = self._spellings(url)
        return any(link.url in spellings for link in self._frontier.owed())

    def read(self, row: SettledRow) -> Page:
        """The page that a row with a `part` names. Raises Corrupt where it is missing."""
        try:
            return replace(self._store.read(row.part, row.position), depth=row.depth)
        except KeyError:
            path = self._directory.path
            raise Corrupt(f"{path} lacks the page of {row.url}; {repair_hint(path)}") from None

    def targets(self, row: SettledRow) -> tuple[str, ...]:
        """What a URL links to, distinct: the links that the crawl could follow, or the target of a redirect; nothing
        where the crawl did not read its links (`unread`). A sitemap links to all that it lists, of any host."""
        if row.redirect_target:
            return (row.redirect_target,)
        if not row.part or (row.unread and row.unread not in PARTLY_READ):
            return ()
        return stored_links(self.read(row), self._directory.settings, self._resolver, BY_THE_USER)

    def _spellings(self, url: str) -> tuple[str, ...]:
        """The forms in which this crawl may have a URL: as it is, and normalized by the crawl's rules."""
        exact = canonical(url)
        return () if exact is None else (exact, normalizer(self._directory.settings)(exact))

    @cached_property
    def _resolver(self) -> Resolver:
        settings = self._directory.settings
        return link_resolver(settings, open_scope(settings))


def link_resolver(rules: Rules, scope: Scope) -> Resolver:
    """Resolves links as the crawl of these rules does."""
    return Resolver(scope.admits_path, respell=normalizer(rules))


def stored_links(page: Page, rules: Rules, resolver: Resolver, naming: SitemapNaming | None = None) -> tuple[str, ...]:
    """The links of a stored page, read again as the crawl read them; `naming` is what named it as a sitemap."""
    return read_page(page.body, page.url, page_headers(page.headers), rules, resolver, True, naming=naming).links
