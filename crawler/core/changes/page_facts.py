"""The facts of a page that a reader or a search engine would call a change, and the text diff of two versions. Pure.

Rules:
- The main text is what a reader sees without navigation, banners, sidebars and footers: a clock in a footer is no
  change. A page that is nothing else counts as a whole.
- White space and markup are no text. Links are compared as a set, in or out of scope.
- A body that is no text is compared by its digest.
- Everything is computed from stored bodies, and only where their digests differ: a crawl spends nothing on it.
- The body is untrusted: nothing here raises, whatever the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff

import msgspec
from turbohtml import Document
from xxhash import xxh3_128_digest

from crawler.core.page import content
from crawler.core.page.linking import link_headers
from crawler.core.page.links import PageHeaders
from crawler.core.urls.canonical import resolve

_BESIDE = "nav, aside, footer, header, [role=navigation], [role=banner], [role=contentinfo], [role=complementary]"
_NAMED = "#footer, .footer, #nav, .nav, #sidebar, .sidebar, .sphinxsidebar"
_CONTENT = "main, article, [role=main]"
MOST_LINES = 5000
"""Lines of each side of a text diff: its time grows with their product."""


class PageFacts(msgspec.Struct, frozen=True):
    """What is compared of a page. `main_text` has a line for each block; `body` is the digest of a body that is no
    text, else empty."""

    status: int
    main_text: str = ""
    title: str = ""
    canonical: str = ""
    noindex: bool = False
    outlinks: frozenset[str] = frozenset()
    body: bytes = b""


WHAT = ("main_text", "title", "status", "canonical", "noindex", "outlinks", "body")
"""What may have changed, in the order in which it is reported."""


def page_facts(status: int, body: bytes, url: str, headers: PageHeaders, noindex: bool) -> PageFacts:
    """The facts of the page of `url` (canonical)."""
    page = content.document(body, headers)
    if page is None:
        text = content.text(None, body, headers)
        digest = b"" if text or not body else xxh3_128_digest(body)
        canonical = _canonical(None, url, headers)
        return PageFacts(status, _lines(text), canonical=canonical, noindex=noindex, body=digest)
    title = content.title(page)
    canonical = _canonical(page, url, headers)
    outlinks = frozenset(content.links(body, url, headers))
    return PageFacts(status, _main_text(page), title, canonical, noindex, outlinks)


def differences(before: PageFacts, after: PageFacts) -> tuple[str, ...]:
    """The names of WHAT in which two versions of a page differ."""
    return tuple(name for name in WHAT if getattr(before, name) != getattr(after, name))


def text_diff(before: str, after: str, names: tuple[str, str]) -> Iterator[str]:
    """The lines of a unified diff of two texts, called `names`; of longer ones only the first MOST_LINES lines."""
    older, newer = before.splitlines(), after.splitlines()
    yield from unified_diff(older[:MOST_LINES], newer[:MOST_LINES], *names, lineterm="")
    if max(len(older), len(newer)) > MOST_LINES:
        yield f"(only the first {MOST_LINES:,} lines are compared)"


def _main_text(page: Document) -> str:
    whole = str(page.to_text())
    for element in page.select(_BESIDE):
        if element.closest(_CONTENT) is None:
            element.decompose()
    for element in page.select(_NAMED):
        element.decompose()
    return _lines(str(page.to_text())) or _lines(whole)


def _lines(text: str) -> str:
    """A text without blank lines, and with single spaces."""
    return "\n".join(line for raw in text.splitlines() if (line := " ".join(raw.split())))


def _canonical(page: Document | None, url: str, headers: PageHeaders) -> str:
    """The canonical URL that a page names (RFC 6596), in a link element or a header; "" where it names none."""
    for link in page.select("link[rel][href]") if page is not None else ():
        if "canonical" in str(link.attr("rel") or "").lower().split():
            return resolve(url, str(link.attr("href") or "")) or ""
    for relations, target in link_headers(headers.link):
        if "canonical" in relations.lower().split():
            return resolve(url, target) or ""
    return ""
