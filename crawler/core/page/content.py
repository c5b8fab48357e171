"""The content of a page for its readers: the parsed document, its title and its text.

Rules:
- A page is parsed as the crawl parsed it (crawler/core/page/links.py): whatever the crawl took for a page has a
  document, and its links are those that the crawl could see. Anything else, an image or a PDF, has none.
- Text is what a browser shows, without scripts and styles. Text that is not HTML is shown as it is.
- The body is untrusted: nothing here raises, whatever the bytes.
"""

from __future__ import annotations

from turbohtml import Document

from crawler.core.messages import SitemapNaming
from crawler.core.page.charsets import charset_name, parse_page
from crawler.core.page.links import PageHeaders, is_html, read_page
from crawler.core.page.mime import media_type
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Resolver

_TEXTUAL = ("text/", "application/json", "application/xml", "application/javascript")
_ALL_LINKS = Rules(obey_nofollow=False, sitemaps=True)
_TRUSTED = SitemapNaming(trusted=True)


def document(body: bytes, headers: PageHeaders) -> Document | None:
    """The parsed page; None for a body that is no HTML."""
    if not is_html(body, headers):
        return None
    return parse_page(body, charset_name(media_type(headers.content_type).charset))


def title(page: Document | None) -> str:
    """The text of the first `title` outside of drawings, its white space as single spaces; "" where it has none."""
    found = page.select_one("title:not(svg *)") if page is not None else None
    return " ".join(str(found.text).split()) if found is not None else ""


def text(page: Document | None, body: bytes, headers: PageHeaders) -> str:
    """What a reader sees: blocks on lines of their own; "" for a body that is no text."""
    if page is not None:
        return str(page.to_text())
    textual = media_type(headers.content_type).essence.startswith(_TEXTUAL)
    return (decoded(page, body, headers) or "") if textual else ""


def decoded(page: Document | None, body: bytes, headers: PageHeaders) -> str | None:
    """A body as text, in the charset of its page or as declared, otherwise as UTF-8; None where it is no text."""
    declared = str(page.encoding) if page is not None else charset_name(media_type(headers.content_type).charset)
    if declared:
        return body.decode(f"whatwg-{declared}", "replace")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def links(body: bytes, url: str, headers: PageHeaders) -> tuple[str, ...]:
    """The distinct http(s) URLs that the page of `url` (canonical) links to, in their canonical form and in the order
    of the page, in scope or not, nofollow or not; all that a sitemap lists. At most `max_links` of a page, none
    longer than `max_url_length`."""
    return read_page(body, url, headers, _ALL_LINKS, Resolver(), follow=True, naming=_TRUSTED).links
