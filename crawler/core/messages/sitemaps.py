"""Sitemaps in messages: which of the two kinds a document is, and what named its URL as a sitemap."""

from __future__ import annotations

from enum import StrEnum

from crawler.core.messages.message import Message


class SitemapKind(StrEnum):
    """What a sitemap lists, by its root element: pages, or other sitemaps."""

    PAGES = "urlset"
    INDEX = "sitemapindex"


class SitemapNaming(Message, frozen=True):
    """What named a URL as a sitemap. It may list URLs of its own host and of `hosts`: those whose robots.txt named it;
    of any host where it is `trusted`, because the user named it. `by_index`: a sitemap index listed it, so it must not
    be an index itself."""

    hosts: tuple[str, ...] = ()
    trusted: bool = False
    by_index: bool = False
