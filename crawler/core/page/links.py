"""Reads a page: its charset, its links, and its directives for robots.

Rules:
- crawler/core/page/mime.py decides what is a page. HTML and XHTML are parsed, both as HTML (no entity of a DTD is ever
  expanded).
- The charset is that of the HTML standard: BOM, Content-Type, meta; then UTF-8 where the bytes are UTF-8, then a guess,
  then windows-1252. Labels are those of the WHATWG (https://encoding.spec.whatwg.org), never codecs of Python. A query
  is encoded as its page is (crawler/core/page/encodings.py).
- Links are the href of a and area, the src of frame and iframe, and the target of a refresh, against the first base
  that is an http(s) URL of bearable length; link elements and `Link` headers where `follow_rel` names their relation.
- noindex, nofollow and none count in every meta and X-Robots-Tag header that addresses robots or our product token; the
  strictest wins. rel=nofollow turns one link away. Both kinds of nofollow are obeyed where the rules say so.
- Links that a page has and we do not follow are counted by reason, distinct.
- A sitemap is read as one where sitemaps are wanted (crawler/core/page/listed.py): its links are the URLs it lists.
- Body and headers are untrusted: nothing here raises, whatever the bytes.
- The effort is bounded by the size of a body. Hrefs beyond MOST_HREFS are counted, not resolved: each costs a
  microsecond, and 10 MiB hold a million. The charset of a large body that is not UTF-8 is guessed from a SAMPLE of it:
  a byte takes longer to detect than to parse.

Every page goes through here, so it is fast in three ways. The parser gets the bytes and decodes while it parses. XPath
replaces loops over nodes. A page whose links are not wanted is parsed only where it may hold directives for us. An
XPath walks the whole tree; the index of tags (`select`) is built once, in the time of two such walks, and then answers
at once for elements that most pages do not have (one tag at a time: a list of tags walks the tree).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

import msgspec
from turbohtml import Document, XPath

from crawler.core.messages import SitemapKind, SitemapNaming
from crawler.core.page.charsets import CUT_CHARACTER, PRESCAN, charset_name, charset_of, parse_page
from crawler.core.page.listed import listed_in
from crawler.core.page.mime import XHTML, is_page, looks_like_page, media_type
from crawler.core.page.outlinks import Found, Left, links_of
from crawler.core.page.robots import product_token
from crawler.core.page.sitemap import sitemap_kind
from crawler.core.reasons import NotFollowed, ParseSkipped
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Resolver
from crawler.core.urls.patterns import fingerprints

_EMPTY_IN_XML = re.compile(rb"<(script|style|title|textarea|iframe|noscript|noembed|noframes|xmp)(\s[^<>]*)?/>")
"""Elements that are empty in XML, while HTML takes all that follows as their text."""
MOST_IMAGES = 256
_TEXT = XPath("string(/)")
_NAME = "translate(@name, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')"
_ORDERS = XPath(f"//meta[{_NAME} = 'robots' or {_NAME} = $token]/@content")
_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What was read from a page. `links` are canonical, distinct and admitted by path; `cut` counts those beyond
    `max_links` or longer than `max_url_length`. `fingerprint` holds the marks of its text, where they were asked for.
    `not_followed` counts its other links, distinct, by why they are not followed.

    `charset` is the WHATWG name of its encoding ("UTF-8"); a body that is not HTML has the one it declares, or "".
    `unread` is why the page could not be read: then the rest comes from its headers only, or from the part of a sitemap
    that was read. `sitemap` is set where it is one.
    """

    charset: str
    links: tuple[str, ...] = ()
    cut: int = 0
    noindex: bool = False
    nofollow: bool = False
    unread: ParseSkipped | None = None
    fingerprint: tuple[int, int] | None = None
    not_followed: tuple[tuple[NotFollowed, int], ...] = ()
    sitemap: SitemapKind | None = None


class PageHeaders(msgspec.Struct, frozen=True, gc=False):
    """The response headers that reading a page needs: Content-Type (several: one list), all X-Robots-Tag, whether there
    is `X-Content-Type-Options: nosniff`, all Refresh and Link."""

    content_type: str = ""
    robots: tuple[str, ...] = ()
    nosniff: bool = False
    refresh: tuple[str, ...] = ()
    link: tuple[str, ...] = ()


def page_headers(headers: Iterable[tuple[str, str]]) -> PageHeaders:
    """The headers of a response that reading a page needs, whatever the order and case of their names."""
    types: list[str] = []
    told: dict[str, list[str]] = {}
    for name, value in headers:
        lower = name.lower()
        if lower == "content-type":
            types.append(value)
        elif lower in _TELLING:
            told.setdefault(lower, []).append(value)
    if not told:
        return PageHeaders(", ".join(types))
    options = told.get("x-content-type-options", [""])[0]
    return PageHeaders(
        ", ".join(types),
        tuple(told.get("x-robots-tag", ())),
        options.partition(",")[0].strip().lower() == "nosniff",
        tuple(told.get("refresh", ())),
        tuple(told.get("link", ())),
    )


_TELLING = frozenset({"x-robots-tag", "x-content-type-options", "refresh", "link"})


def is_html(body: bytes, headers: PageHeaders) -> bool:
    """Whether `read_page` would parse a body."""
    return is_page(body, media_type(headers.content_type), headers.nosniff)


def unread_page(headers: PageHeaders, rules: Rules, why: ParseSkipped) -> Reading:
    """What the headers show of a page that could not be read."""
    orders = _header_orders(headers.robots, product_token(rules.user_agent) or "robots")
    charset = charset_name(media_type(headers.content_type).charset)
    return msgspec.structs.replace(_reading(charset, orders), unread=why)


def read_page(
    body: bytes,
    url: str,
    headers: PageHeaders,
    rules: Rules,
    resolver: Resolver,
    follow: bool,
    fingerprint: bool = False,
    naming: SitemapNaming | None = None,
) -> Reading:
    """Read the page of `url` (canonical), without its links unless `follow`; `fingerprint`: compute its fingerprint
    where it has links.

    `resolver` knows which URLs are admitted by path, `naming` is what named the page as a sitemap.
    """
    if not (follow and (rules.sitemaps or rules.sitemap)):
        return _read_document(body, url, headers, rules, resolver, follow, fingerprint)
    kind = sitemap_kind(body)
    if kind is not None:
        return _read_sitemap(body, kind, url, headers, rules, resolver, naming)
    reading = _read_document(body, url, headers, rules, resolver, follow, fingerprint)
    if naming is None:
        return reading
    return msgspec.structs.replace(reading, not_followed=(*reading.not_followed, (NotFollowed.NO_SITEMAP, 1)))


def _read_document(
    body: bytes,
    url: str,
    headers: PageHeaders,
    rules: Rules,
    resolver: Resolver,
    follow: bool,
    fingerprint: bool,
) -> Reading:
    token = product_token(rules.user_agent) or "robots"
    orders = _header_orders(headers.robots, token) if headers.robots else set()
    media = media_type(headers.content_type)
    declared = charset_name(media.charset)
    if not is_page(body, media, headers.nosniff):
        found = Found((), 0, {})
        if follow and (headers.link or headers.refresh):
            found = _links(parse_page(b"", declared), url, headers, rules, resolver, orders)
        if follow and looks_like_page(body):
            found.left[NotFollowed.NOT_HTML] = 1
        return _reading(declared, orders, found.links, found.cut, left=found.left)
    if media.essence == XHTML:
        body = _EMPTY_IN_XML.sub(rb"<\1\2></\1>", body)
    if body[-1:] >= b"\x80":
        body = body[:-3] + CUT_CHARACTER.sub(b"", body[-3:])  # a body cut inside a character would not look like UTF-8
    if not follow:
        charset = charset_of(body, declared)
        if _gives_no_orders(body, charset, declared, token):
            return _reading(charset, orders)
    page = parse_page(body, declared)
    if any((meta.attr("name") or "").lower() in ("robots", token) for meta in page.select("meta")):
        for content in cast(list[str], _ORDERS(page, token=token)):
            orders.update(content.lower().replace(",", " ").split())
    links: tuple[str, ...] = ()
    cut = 0
    left: Left = {}
    if follow:
        links, cut, left = _links(page, url, headers, rules, resolver, orders)
    marks = fingerprint_of(page, url, links) if fingerprint and links else None
    return _reading(str(page.encoding), orders, links, cut, marks, left)


def fingerprint_of(page: Document, url: str, links: Iterable[str]) -> tuple[int, int]:
    """The two fingerprints of a parsed page, see crawler/core/urls/patterns.py."""
    return fingerprints(str(_TEXT(page)), url, _sources(page), links)


def _read_sitemap(
    body: bytes,
    kind: SitemapKind,
    url: str,
    headers: PageHeaders,
    rules: Rules,
    resolver: Resolver,
    naming: SitemapNaming | None,
) -> Reading:
    orders = _header_orders(headers.robots, product_token(rules.user_agent) or "robots")
    found, unread = listed_in(body, kind, url, rules, resolver, naming)
    found = _followed(found, rules, orders)
    charset = charset_name(media_type(headers.content_type).charset)
    reading = _reading(charset, orders, found.links, found.cut, left=found.left)
    return msgspec.structs.replace(reading, unread=unread, sitemap=kind)


def _links(page: Document, url: str, headers: PageHeaders, rules: Rules, resolver: Resolver, orders: set[str]) -> Found:
    return _followed(links_of(page, url, rules, resolver, headers.refresh, headers.link), rules, orders)


def _followed(found: Found, rules: Rules, orders: set[str]) -> Found:
    """What is left of these links where the directives of the page are obeyed."""
    if not (rules.obey_nofollow and _asks(orders, "nofollow")):
        return found
    found.left[NotFollowed.NOFOLLOW] = found.left.get(NotFollowed.NOFOLLOW, 0) + len(found.links)
    return Found((), 0, found.left)


def _sources(page: Document) -> list[str]:
    """The URLs of what a page embeds. Images that load lazily, or in several sizes, are named in other attributes than
    src."""
    found = [str(element.attr("src")) for element in page.select("[src]")]  # a third of the time of an XPath
    for image in page.select("img")[:MOST_IMAGES]:
        found += [str(value) for name in ("data-src", "srcset") if (value := image.attr(name))]
    return found


def _reading(
    charset: str,
    orders: set[str],
    links: tuple[str, ...] = (),
    cut: int = 0,
    fingerprint: tuple[int, int] | None = None,
    left: Left | None = None,
) -> Reading:
    noindex, nofollow = _asks(orders, "noindex"), _asks(orders, "nofollow")
    return Reading(charset, links, cut, noindex, nofollow, None, fingerprint, tuple(left.items()) if left else ())


def _asks(orders: set[str], word: str) -> bool:
    return word in orders or "none" in orders


def _header_orders(values: Iterable[str], token: str) -> set[str]:
    """The words of X-Robots-Tag headers that address us: "noindex", "ourtoken: nofollow", "otherbot: none, noindex"."""
    orders: set[str] = set()
    for value in values:
        agent = ""
        for part in value.lower().split(","):
            name, colon, rest = (text.strip() for text in part.partition(":"))
            if not colon:
                rest = name
            elif name in _VALUED or " " in name:  # "unavailable_after: Friday, 25 Jun 2027 15:00:00 GMT"
                continue
            else:
                agent = name
            if agent in ("", "*", "robots", token):
                orders.update(rest.split())
    return orders


def _gives_no_orders(body: bytes, charset: str, declared: str, token: str) -> bool:
    """Whether parsing could neither find a robots meta nor change the charset."""
    text = body.lower()
    return not (
        charset.startswith("UTF-16")
        or b"robots" in text
        or token.encode() in text
        or (not declared and b"charset" in text[PRESCAN:])
    )
