"""What a sitemap lists, whatever its bytes: the corpus of hostile ones, and one rule per test."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from crawler.core.messages import SitemapKind, SitemapNaming
from crawler.core.page import sitemap
from crawler.core.page.links import PageHeaders, Reading, read_page
from crawler.core.page.sitemap import LONGEST_DATE, MOST_BYTES, MOST_URLS, SitemapReader, sitemap_kind
from crawler.core.reasons import NotFollowed, ParseSkipped
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Resolver
from crawler.core.urls.normalization import normalizer
from crawler.core.urls.scope import Scope
from tests.corpus import cases
from tests.effort import effort

HOST = "http://h"
URL = f"{HOST}/sitemap.xml"
CASES = {case["id"]: case for case in cases("sitemaps/hostile_sitemaps")}


def read(body: bytes, naming: SitemapNaming | None = None, *headers: str, url: str = URL, **keys: object) -> Reading:
    rules = Rules(**({"sitemaps": True} | keys))  # type: ignore[arg-type]
    resolver = Resolver(Scope(rules, [url]).admits_path, respell=normalizer(rules))
    return read_page(body, url, PageHeaders("application/xml", headers), rules, resolver, True, naming=naming)


def listing(*urls: str, root: str = "urlset", entry: str = "url") -> bytes:
    return f"<{root}>{''.join(f'<{entry}><loc>{url}</loc></{entry}>' for url in urls)}</{root}>".encode()


def index(*urls: str) -> bytes:
    return listing(*urls, root="sitemapindex", entry="sitemap")


# ---- the corpus ------------------------------------------------------------------------------------------------------


def sixty_megabytes() -> bytes:
    entry = b"<url><loc>http://h/1</loc></url>" + b" " * 10_000
    return b"<urlset>" + entry * (60_000_000 // len(entry)) + b"</urlset>"


def packed(body: bytes) -> bytes:
    """A gzip file without a time: it is part of names of tests, which are the same in every process."""
    return gzip.compress(body, mtime=0)


def gzip_in_gzip() -> bytes:
    return packed(listing(f"{HOST}/1"))  # the coding of the response is undone before


BODIES: dict[str, Callable[[], bytes]] = {
    "index_chain": lambda: index(f"{HOST}/index-2.xml"),
    "size_60mb": sixty_megabytes,
    "gz_of_gz": gzip_in_gzip,
    "utf16": lambda: CASES["utf16"]["body"].removeprefix("\ufeff").encode("utf-16"),
    "deep_xml": lambda: b"<urlset>" + b"<url>" * 100_000 + b"</url>" * 100_000 + b"</urlset>",
}
"""Bodies that the corpus describes."""
OUTCOMES: dict[str, tuple[tuple[str, ...], ParseSkipped | None]] = {
    "billion_laughs": ((), ParseSkipped.DTD),
    "xxe_file": ((), ParseSkipped.DTD),
    "xinclude": ((f"{HOST}/a",), None),
    "cross_host": ((), None),
    "index_chain": ((), ParseSkipped.NESTED),
    "size_60mb": ((f"{HOST}/1",), ParseSkipped.TOO_LARGE),
    "gz_of_gz": ((f"{HOST}/1",), None),
    "empty": ((), None),
    "utf16": ((f"{HOST}/1",), None),
    "bad_dates": ((f"{HOST}/1",), None),
    "deep_xml": ((), ParseSkipped.MALFORMED),
}
"""The links, and why the rest was not read."""


@pytest.mark.parametrize("name", CASES)
def test_hostile_sitemaps(name: str) -> None:
    body = BODIES[name]() if name in BODIES else CASES[name]["body"].encode()
    naming = SitemapNaming(by_index=name == "index_chain")
    reading, units = effort(lambda: read(body, naming))
    assert (reading.links, reading.unread) == OUTCOMES[name]
    assert units < 500


def test_every_hostile_sitemap_is_checked() -> None:
    assert OUTCOMES.keys() == CASES.keys()


# ---- what is a sitemap -----------------------------------------------------------------------------------------------

HEAD = b'<?xml version="1.0"?>\n<?xml-stylesheet href="s.xsl"?>\n<!-- <p>made by x</p> -->\n'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (listing(), SitemapKind.PAGES),
        (index(), SitemapKind.INDEX),
        (b"\xef\xbb\xbf \n" + HEAD + listing(), SitemapKind.PAGES),
        (b"<s:urlset xmlns:s='x'/>", SitemapKind.PAGES),
        (packed(index()), SitemapKind.INDEX),
        (HEAD.decode().replace("?>", " encoding='UTF-16'?>", 1).encode("utf-16") + listing(), SitemapKind.PAGES),
        (b"<!DOCTYPE urlset [<!ENTITY a '<b>'>]><urlset/>", SitemapKind.PAGES),
        (b"<!doctype html><p>urlset</p><urlset>", None),
        (b"<html><urlset>", None),
        (b"<rss><urlset>", None),
        (b"a list: <urlset>", None),
        (b"<p>urlset</p>", None),
        (packed(b"<html>"), None),
        (b"\x1f\x8bno gzip", None),
        (b"", None),
    ],
)
def test_a_document_is_a_sitemap_by_its_root(body: bytes, kind: SitemapKind | None) -> None:
    assert sitemap_kind(body) is kind


def test_a_page_is_read_as_a_sitemap_only_where_sitemaps_are_wanted() -> None:
    body = listing(f"{HOST}/1")
    assert read(body).sitemap is SitemapKind.PAGES
    assert read(body, sitemaps=False, sitemap=(URL,)).links == (f"{HOST}/1",)
    assert read(body, sitemaps=False) == Reading("")


def test_what_is_named_as_a_sitemap_and_is_none_is_read_as_a_page_and_counted() -> None:
    assert read(b"").not_followed == ()
    assert read(b"", SitemapNaming()).not_followed == ((NotFollowed.NO_SITEMAP, 1),)


# ---- what it lists ---------------------------------------------------------------------------------------------------


def test_urls_are_those_of_loc_in_url_with_the_prefix_of_the_root() -> None:
    body = (
        "<s:urlset xmlns:s='a' xmlns:i='b'><s:loc>/0</s:loc><s:url>\n<s:loc> /a?b=1&amp;c=2\n</s:loc>"
        "<i:image><i:loc>/image.png</i:loc></i:image><i:loc>/no</i:loc><loc>/no</loc></s:url>"
        "<url><s:loc>/no</s:loc></url><s:url><s:loc> </s:loc></s:url><s:url><s:loc><![CDATA[/d]]></s:loc></s:url>"
        "</s:urlset>"
    )
    assert read(body.encode()).links == (f"{HOST}/a?b=1&c=2", f"{HOST}/d")


def test_urls_are_checked_as_links_are() -> None:
    body = listing("/a", "/a#b", "/%61", "mailto:x", "http://[", "/no/1", "/".ljust(3000, "x"))
    reading = read(body, exclude=("^/no",))
    assert (reading.links, reading.cut) == ((f"{HOST}/a",), 1)
    assert dict(reading.not_followed) == {"scheme": 1, "invalid": 1, "excluded": 1, "too_long": 1}


def test_the_sitemaps_of_an_index_are_not_subject_to_include_and_exclude() -> None:
    assert read(index("/%61"), include=("^/docs",)).links == (f"{HOST}/a",)


@pytest.mark.parametrize(
    ("naming", "found"),
    [
        (None, ("http://h.test/1", "https://www.h.test/2")),
        (SitemapNaming(hosts=("http://b.test",)), ("http://h.test/1", "https://www.h.test/2", "http://b.test/3")),
        (
            SitemapNaming(trusted=True),
            ("http://h.test/1", "https://www.h.test/2", "http://b.test/3", "http://c.test/4", "http://c.test/5"),
        ),
    ],
)
def test_urls_of_another_host_count_where_that_host_or_the_user_names_it(
    naming: SitemapNaming | None, found: tuple[str, ...]
) -> None:
    body = listing("/1", "https://www.h.test/2", "http://b.test/3", "http://c.test/4", "http://c.test/5")
    reading = read(body, naming, url="http://h.test/sitemap.xml")
    foreign = 5 - len(found)
    assert reading.links == found
    assert reading.not_followed == (((NotFollowed.SITEMAP_FOREIGN, foreign),) if foreign else ())


def test_the_headers_of_a_sitemap_are_obeyed() -> None:
    reading = read(listing("/1", "/2"), None, "noindex, nofollow")
    assert (reading.links, reading.not_followed, reading.noindex) == ((), ((NotFollowed.NOFOLLOW, 2),), True)
    assert read(listing("/1"), None, "nofollow", obey_nofollow=False).links == (f"{HOST}/1",)


# ---- limits and errors -----------------------------------------------------------------------------------------------


def test_urls_beyond_those_of_the_protocol_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_URLS == 50_000
    monkeypatch.setattr(sitemap, "MOST_URLS", 10)
    reading = read(listing(*(f"/{number}" for number in range(17))))
    assert (len(reading.links), reading.cut) == (10, 7)
    assert reading.not_followed == ((NotFollowed.TOO_MANY, 7),)


@pytest.mark.parametrize("end", ["<url><loc>/2", "&no;</urlset>", "<a></b>", "</urlset><urlset/>"])
def test_what_comes_before_an_error_counts(end: str) -> None:
    reading = read(b"<urlset><url><loc>/1</loc></url>" + end.encode())
    assert (reading.links, reading.unread) == ((f"{HOST}/1",), ParseSkipped.MALFORMED)


@pytest.mark.parametrize(
    "body",
    [
        b"<?x <urlset ?><rss/>",
        b"<?xml version='1.0' encoding='nothing'?><urlset/>",
        b"<?xml version='1.0' encoding='shift_jis'?><urlset/>",
        packed(listing("/1"))[:-12],
        packed(listing("/1")).replace(b"\x08", b"\x07", 1),
    ],
)
def test_what_no_parser_can_read_is_malformed(body: bytes) -> None:
    assert SitemapReader(body).unread is ParseSkipped.MALFORMED


def test_a_gzip_bomb_ends_at_the_limit_of_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    body = gzip.compress(b"<urlset>" + listing("/1")[8:-9] + b" " * MOST_BYTES + b"</urlset>")
    assert len(body) < 100_000
    found = SitemapReader(body)
    assert (found.urls, found.unread) == (["/1"], ParseSkipped.TOO_LARGE)
    monkeypatch.setattr(sitemap, "MOST_BYTES", 20)
    assert SitemapReader(listing("/1", "/2")).unread is ParseSkipped.TOO_LARGE


def test_there_is_a_limit_on_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemap, "MOST_ELEMENTS", 5)
    found = SitemapReader(listing("/1", "/2", "/3"))
    assert (found.urls, found.unread) == (["/1", "/2"], ParseSkipped.TOO_LARGE)


@pytest.mark.parametrize(
    "text", ["<!--{}-->", "<x a='{}'/>", "<url><loc>{}</loc></url>", "<url><loc><![CDATA[{}]]></loc></url>"]
)
def test_a_token_of_any_length_takes_time_in_proportion(text: str) -> None:
    body = b"<urlset>" + text.format("x" * 6_000_000).encode() + b"</urlset>"
    found, units = effort(lambda: SitemapReader(body))
    assert found.unread is None and max(map(len, found.urls), default=0) < 200_000
    assert units < 80


def test_lastmods_are_read_where_they_are_asked_for() -> None:
    entries = (
        "<url><loc>http://a.test/1</loc><lastmod> 2026-01-02 </lastmod></url>"
        "<url><lastmod>2026-01-03T04:05:06Z</lastmod><loc>http://a.test/2</loc></url>"
        "<url><loc>http://a.test/3</loc></url><url><lastmod>2026-01-04</lastmod></url>"
        f"<url><loc>http://a.test/4</loc><lastmod>{'9' * 999}</lastmod></url>"
    )
    body = f"<urlset>{entries}</urlset>".encode()
    read = SitemapReader(body, dated=True)
    assert read.lastmods == {
        "http://a.test/1": "2026-01-02",
        "http://a.test/2": "2026-01-03T04:05:06Z",
        "http://a.test/4": "9" * LONGEST_DATE,
    }
    assert read.urls == SitemapReader(body).urls and SitemapReader(body).lastmods == {}
    prefixed = body.replace(b"<urlset", b"<s:urlset").replace(b"</urlset", b"</s:urlset")
    assert SitemapReader(prefixed, dated=True).lastmods == {}
