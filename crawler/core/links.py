"""What a page says: its charset, its links, and what it asks of robots.

Rules:
- Only HTML and XHTML are parsed, both as HTML (no entity of a DTD is ever expanded); a missing type is sniffed.
- The charset is that of the HTML standard: BOM, Content-Type, meta; then UTF-8 where the bytes are UTF-8, then a guess,
  then windows-1252. Labels are those of the WHATWG (https://encoding.spec.whatwg.org), never codecs of Python.
- Links are the href of a and area, against the first base that is an http(s) URL of bearable length.
- noindex, nofollow and none count in every meta and X-Robots-Tag header that addresses robots or our product token; the
  strictest wins. rel=nofollow turns one link away. Both kinds of nofollow are obeyed where the rules say so.
- Body and headers were written by strangers: nothing here raises, whatever the bytes.
- The effort is bounded by the size of a body: hrefs beyond MOST_HREFS are counted, not resolved (each costs a
  microsecond, and 10 MiB hold a million), and what a large body is that is no UTF-8 is guessed from a SAMPLE of it (the
  detector needs longer for a byte than the parser does).

Every page goes through here, so the parser gets the bytes and decodes while it parses, XPath does what loops over nodes
would, and a page whose links are not wanted is parsed only where it may hold orders for us. An XPath walks the whole
tree; the index of tags (`select`) is built once, in the time of two such walks, and then answers at once what most
pages do not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import cast

import msgspec
from turbohtml import Document, XPath, parse
from turbohtml.detect import detect

from crawler.core.messages import Unread
from crawler.core.patterns import sketch_of
from crawler.core.robots import product_token
from crawler.core.rules import Rules
from crawler.core.urls import Resolver, resolve

_FOLLOW = (
    "not(@rel) or not(contains(concat(' ', normalize-space(translate(@rel, 'NOFLW\f', 'noflw ')), ' '), ' nofollow '))"
)
_ANCHORS = XPath("//a/@href")
_HREFS = XPath("//a/@href | //area/@href")
_FOLLOWED = XPath(f"//a[{_FOLLOW}]/@href | //area[{_FOLLOW}]/@href")
_BASES = XPath("//base/@href")
_TEXT = XPath("string(/)")
_SOURCES = XPath("//@src")
_NAME = "translate(@name, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')"
_ORDERS = XPath(f"//meta[{_NAME} = 'robots' or {_NAME} = $token]/@content")

_HTML = ("text/html", "application/xhtml+xml")
_UNKNOWN = ("", "unknown/unknown", "application/unknown", "*/*")  # https://mimesniff.spec.whatwg.org
_TAG = re.compile(
    rb"(?:\xef\xbb\xbf)?[\t\n\f\r ]*<"
    rb"(?:!--|(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)[\t\n\f\r >])",
    re.IGNORECASE,
)
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s\"';,]+)", re.IGNORECASE)
_CUT = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")  # the head of a character
MOST_HREFS = 100_000
SAMPLE = 262_144
PRESCAN = 1024  # bytes in which a meta is looked for before parsing (WHATWG, "prescan a byte stream")
_FALLBACK = "windows-1252"
_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a page says. `links` are canonical, distinct and admitted by path; `cut` counts those beyond `max_links` or
    longer than `max_url_length`. `sketch` are the marks of its text, where they were asked for.

    `charset` is the WHATWG name of its encoding ("UTF-8"); what is no HTML has the one it declares, or "". `unread`
    says why nobody could read the page: then these are only its headers.
    """

    charset: str
    links: tuple[str, ...] = ()
    cut: int = 0
    noindex: bool = False
    nofollow: bool = False
    unread: Unread | None = None
    sketch: tuple[int, int] | None = None


def is_html(body: bytes, content_type: str) -> bool:
    """Whether `read_page` would look into a body."""
    _, html = _declared(content_type[:200])
    return html or (html is None and _TAG.match(body) is not None)


def unread_page(content_type: str, rules: Rules, x_robots: Sequence[str], why: Unread) -> Reading:
    """What is known of a page that nobody could read."""
    orders = _header_orders(x_robots, product_token(rules.user_agent) or "robots")
    return msgspec.structs.replace(_reading(_declared(content_type[:200])[0], orders), unread=why)


def read_page(
    body: bytes,
    url: str,
    content_type: str,
    rules: Rules,
    resolver: Resolver,
    x_robots: Sequence[str],
    follow: bool,
    sketch: bool = False,
) -> Reading:
    """Read the page of `url` (canonical), without its links unless `follow`; `sketch` its text where it has links.

    `resolver` knows which URLs are admitted by path; `x_robots` are the X-Robots-Tag headers.
    """
    token = product_token(rules.user_agent) or "robots"
    orders = _header_orders(x_robots, token) if x_robots else set()
    declared, _ = _declared(content_type[:200])
    if not is_html(body, content_type):
        return _reading(declared, orders)
    if body[-1:] >= b"\x80":
        body = body[:-3] + _CUT.sub(b"", body[-3:])  # a body cut inside a character would not look like UTF-8
    wanted = follow and not (rules.obey_nofollow and _asks(orders, "nofollow"))
    if not wanted:
        charset = _charset(body, declared)
        if _gives_no_orders(body, charset, declared, token):
            return _reading(charset, orders)
    page = _parse(body, declared)
    if any((meta.attr("name") or "").lower() in ("robots", token) for meta in page.select("meta")):
        for content in _strings(_ORDERS(page, token=token)):
            orders.update(content.lower().replace(",", " ").split())
    links: tuple[str, ...] = ()
    cut = 0
    if wanted and not (rules.obey_nofollow and _asks(orders, "nofollow")):
        links, cut = _links(page, url, rules, resolver)
    marks = sketch_of(str(_TEXT(page)), url, _strings(_SOURCES(page))) if sketch and links else None
    return _reading(str(page.encoding), orders, links, cut, marks)


def _reading(
    charset: str,
    orders: set[str],
    links: tuple[str, ...] = (),
    cut: int = 0,
    sketch: tuple[int, int] | None = None,
) -> Reading:
    return Reading(charset, links, cut, _asks(orders, "noindex"), _asks(orders, "nofollow"), sketch=sketch)


def _asks(orders: set[str], word: str) -> bool:
    return word in orders or "none" in orders


def _links(page: Document, url: str, rules: Rules, resolver: Resolver) -> tuple[tuple[str, ...], int]:
    """The links of a page, and how many lie beyond its limits: hrefs left unread are counted, not resolved."""
    bases = _strings(_BASES(page)) if page.select("base") else ()
    base = (resolve(url, bases[0]) if bases else None) or url
    if len(base) > rules.max_url_length:  # every href would be copied onto it
        base = url
    hrefs = _hrefs(page, rules.obey_nofollow)
    most = rules.max_links
    links: dict[str, None] = {}
    read = long = 0
    while read < min(len(hrefs), MOST_HREFS) and len(links) < most:
        found = resolver.resolve_all(base, hrefs[read : read + most])
        if max(map(len, found), default=0) > rules.max_url_length:
            short = [url for url in found if len(url) <= rules.max_url_length]
            long += len(found) - len(short)
            found = short
        links.update(dict.fromkeys(found))
        read += most
    left = set(hrefs[read:]).difference(hrefs[:read]) if read < len(hrefs) else ()
    return tuple(links)[:most], long + max(0, len(links) - most) + len(left)


def _hrefs(page: Document, obey_nofollow: bool) -> list[str]:
    """The hrefs to follow. Few pages have an area or a nofollow; to ask the index for one costs next to nothing."""
    areas = page.select("area")
    if obey_nofollow and (areas or page.select("a[rel*='nofollow' i]")):
        return _strings(_FOLLOWED(page))
    return _strings((_HREFS if areas else _ANCHORS)(page))


def _strings(found: object) -> list[str]:
    return cast(list[str], found)  # an XPath that ends in an attribute returns nothing else


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


@lru_cache(maxsize=256)
def _declared(content_type: str) -> tuple[str, bool | None]:
    """The charset that a Content-Type declares ("": none that is known), and whether it is HTML (None: no type)."""
    essence = content_type.partition(";")[0].strip().lower()
    html = None if essence in _UNKNOWN else essence in _HTML
    label = _CHARSET.search(content_type)
    try:
        return (str(parse(b"", encoding=label[1]).encoding) if label else ""), html
    except (LookupError, ValueError):  # no label of the WHATWG; not even text
        return "", html


def _parse(body: bytes, declared: str) -> Document:
    if declared or len(body) <= SAMPLE or (sample := _foreign_sample(body)) is None:
        return parse(body, encoding=declared or None, detect_encoding=True, positions=False)
    page = parse(body, positions=False)
    guess = detect(sample).encoding if str(page.encoding) == _FALLBACK else None  # BOM and meta come first
    return page if guess in (None, _FALLBACK) else parse(body, encoding=guess, positions=False)


def _charset(body: bytes, declared: str) -> str:
    """The charset of a page without parsing it; a meta beyond the first 1024 bytes goes unseen."""
    sample = None if declared or len(body) <= SAMPLE else _foreign_sample(body)
    match = detect(body[:3] if declared else body if sample is None else sample)
    if match.bom:
        return str(match.encoding).removesuffix("-SIG")
    return declared or match.encoding or _FALLBACK


def _foreign_sample(body: bytes) -> bytes | None:
    """The head of a body that is no UTF-8, and what lies around the first byte that shows it, from tag to tag to cut no
    character in two. None: it is UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        shown = error.start
        head = body[: min(PRESCAN, shown)].decode(errors="ignore").encode()
        begin = max(body.rfind(b"<", PRESCAN, shown), min(shown, PRESCAN))
        sample = body[begin if shown - begin < PRESCAN else shown : shown + SAMPLE]
        end = sample.rfind(b"<")
        return head + (sample[:end] if end > PRESCAN else sample)
    return None


def _gives_no_orders(body: bytes, charset: str, declared: str, token: str) -> bool:
    """Whether parsing could neither find a robots meta nor change the charset."""
    text = body.lower()
    return not (
        charset.startswith("UTF-16")
        or b"robots" in text
        or token.encode() in text
        or (not declared and b"charset" in text[PRESCAN:])
    )
