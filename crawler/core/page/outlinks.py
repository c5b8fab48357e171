"""The links of a parsed page, and its other links counted by why they are not followed. See
crawler/core/page/links.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

from turbohtml import Document, Element, XPath

from crawler.core.page.encodings import UNICODE, with_query_in
from crawler.core.page.linking import RELATIONS, link_headers, refresh_target, relations
from crawler.core.reasons import NotFollowed
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Refused, Resolver, resolve

_FOLLOW = (
    "not(@rel) or not(contains(concat(' ', normalize-space(translate(@rel, 'NOFLW\f', 'noflw ')), ' '), ' nofollow '))"
)
_ANCHORS = XPath("//a/@href")
_HREFS = XPath("//a/@href | //area/@href")
_FOLLOWED = XPath(f"//a[{_FOLLOW}]/@href | //area[{_FOLLOW}]/@href")
_WITH_FRAMES = XPath("//a/@href | //area/@href | //frame/@src | //iframe/@src")
_FOLLOWED_WITH_FRAMES = XPath(f"//a[{_FOLLOW}]/@href | //area[{_FOLLOW}]/@href | //frame/@src | //iframe/@src")
_BASES = XPath("//base/@href")
MOST_HREFS = 100_000

Left = dict[NotFollowed, int]


class Found(NamedTuple):
    """The links of a page, distinct and admitted by path; how many are beyond its limits; how many others are not
    followed."""

    links: tuple[str, ...]
    cut: int
    left: Left


def links_of(
    page: Document, url: str, rules: Rules, resolver: Resolver, refreshes: Sequence[str], link: Sequence[str]
) -> Found:
    """The links of a page; `refreshes` and `link` are the values of those headers."""
    encoding = str(page.encoding)
    base = _base(page, url, encoding, rules.max_url_length)
    hrefs, turned_away = _hrefs(page, rules.obey_nofollow)
    hrefs += _refreshes(page, url, refreshes)
    others = _related(page, url, link, rules.follow_rel, hrefs)
    if encoding not in UNICODE:
        hrefs = [href if href.isascii() else with_query_in(href, encoding) for href in hrefs]
    refused: Refused = {}
    found = _resolved(hrefs, base, rules, resolver, refused)
    for why in refused.values():
        found.left[why] = found.left.get(why, 0) + 1
    if turned_away or others:
        _count_others(found, url, encoding, base, resolver, (*turned_away, *others))
    return found


def _base(page: Document, url: str, encoding: str, longest: int) -> str:
    bases = _strings(_BASES(page)) if page.select("base") else ()
    base = (resolve(url, with_query_in(bases[0], encoding)) if bases else None) or url
    return url if len(base) > longest else base  # every href would be copied onto it


def _resolved(hrefs: list[str], base: str, rules: Rules, resolver: Resolver, refused: Refused) -> Found:
    """The distinct links among `hrefs` within the limits of the rules; nearly every page is within them."""
    most = rules.max_links
    few = min(most, MOST_HREFS)
    links = resolver.resolve_all(base, hrefs if len(hrefs) <= few else hrefs[:few], refused)
    short, long = _short(links, rules.max_url_length)
    if len(hrefs) <= few and not long:
        return Found(tuple(short), 0, {})
    distinct, read = dict.fromkeys(short), few
    while read < min(len(hrefs), MOST_HREFS) and len(distinct) < most:
        short, more = _short(resolver.resolve_all(base, hrefs[read : read + most], refused), rules.max_url_length)
        distinct.update(dict.fromkeys(short))
        long += more
        read += most
    beyond = len(set(hrefs[read:]).difference(hrefs[:read])) if read < len(hrefs) else 0
    many = beyond + max(0, len(distinct) - most)
    counts = ((NotFollowed.TOO_LONG, long), (NotFollowed.TOO_MANY, many))
    return Found(tuple(distinct)[:most], long + many, {why: count for why, count in counts if count})


def _short(urls: list[str], longest: int) -> tuple[list[str], int]:
    """Those of these URLs that are not too long, and how many are."""
    if max(map(len, urls), default=0) <= longest:
        return urls, 0
    short = [url for url in urls if len(url) <= longest]
    return short, len(urls) - len(short)


# ---- where links stand -----------------------------------------------------------------------------------------------

Others = list[tuple[NotFollowed, str]]


def _hrefs(page: Document, obey_nofollow: bool) -> tuple[list[str], Others]:
    """The hrefs to follow, and those that nofollow turns away. Few pages have an area, a frame or a nofollow; looking
    one up in the index costs next to nothing."""
    areas = page.select("area")
    frames = page.select("iframe") or page.select("frame")
    if obey_nofollow and (areas or page.select("a[rel*='nofollow' i]")):
        hrefs = _strings((_FOLLOWED_WITH_FRAMES if frames else _FOLLOWED)(page))
        return hrefs, _turned_away([*page.select("a[rel*='nofollow' i]"), *areas])
    return _strings((_WITH_FRAMES if frames else _HREFS if areas else _ANCHORS)(page)), []


def _turned_away(elements: Iterable[Element]) -> Others:
    """The links of these elements that nofollow turns away."""
    return [
        (NotFollowed.NOFOLLOW, str(element.attr("href")))
        for element in elements
        if "nofollow" in str(element.attr("rel") or "").lower().split() and element.attr("href") is not None
    ]


def _refreshes(page: Document, url: str, headers: Sequence[str]) -> list[str]:
    told = (_against(url, target) for value in headers if (target := refresh_target(value)))
    metas = (
        meta.attr("content") or ""
        for meta in page.select("meta")
        if (meta.attr("http-equiv") or "").lower() == "refresh"
    )
    return [*told, *(target for value in metas if (target := refresh_target(value)))]


def _against(url: str, target: str) -> str:
    """The target of a header resolved against `url`: base elements do not apply to it (RFC 8288 3.2)."""
    return resolve(url, target) or target


def _related(page: Document, url: str, link: Sequence[str], followed: Sequence[str], hrefs: list[str]) -> Others:
    """Add the targets of relations that are followed to `hrefs`; returns the others."""
    found = [(str(it.attr("rel") or ""), str(it.attr("href") or "")) for it in page.select("link")]
    if link:
        found += [(names, _against(url, target)) for names, target in link_headers(link)]
    others: Others = []
    for rel, href in found:
        names = relations(rel) if href else ()
        if any(name.replace("previous", "prev") in followed for name in names):
            hrefs.append(href)
        elif names:
            others.append((RELATIONS[names[0]], href))
    return others


def _count_others(
    found: Found, url: str, encoding: str, base: str, resolver: Resolver, others: Iterable[tuple[NotFollowed, str]]
) -> None:
    """Count links that are not followed, except those that the page also has as followed links, and the page itself."""
    known = {url, *found.links}
    for kind, href in others:
        for other in resolver.resolve_all(base, [with_query_in(href, encoding)]):
            if other not in known:
                known.add(other)
                found.left[kind] = found.left.get(kind, 0) + 1


def _strings(found: object) -> list[str]:
    return cast(list[str], found)  # an XPath that ends in an attribute returns nothing else
