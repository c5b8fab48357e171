"""Reading of a page, in any charset, by a crawler named "us"."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.core.page.links import PageHeaders, Reading, is_html, page_headers, read_page, unread_page
from crawler.core.reasons import NotFollowed, ParseSkipped
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Resolver
from crawler.core.urls.scope import Scope

PAGE = "http://h.test/a/b"


def read(
    body: bytes | str,
    content_type: str = "text/html",
    *x_robots: str,
    follow: bool = True,
    **rules: Any,
) -> Reading:
    ours = Rules(**{"user_agent": "Us/1.0 (+http://h.test)", **rules})
    raw = body.encode() if isinstance(body, str) else body
    return read_page(
        raw, PAGE, PageHeaders(content_type, x_robots), ours, Resolver(Scope(ours, [PAGE]).admits_path), follow
    )


@pytest.mark.parametrize(
    ("body", "links"),
    [
        ("<a href=x>", ["http://h.test/a/x"]),
        ("<a href='x'><A HREF=x><a href=x#f>", ["http://h.test/a/x"]),
        ("<a href=' /x\n'>", ["http://h.test/x"]),
        ("<a href='?a=1&amp;b=2'>", ["http://h.test/a/b?a=1&b=2"]),
        ("<a><a href><a href=#f>", [PAGE]),
        ("<a href=mailto:a@h.test><a href=javascript:x()><a href=http://h.test:x/>", []),
        ("<map><area href=x></map><link href=y><img src=z>", ["http://h.test/a/x"]),
        ("<!-- <a href=x> --><script>'<a href=y>'</script><textarea><a href=z></textarea>", []),
        ("<base href=/c/><a href=x>", ["http://h.test/c/x"]),
        ("<a href=x><base><base href=/c/><base href=/d/>", ["http://h.test/c/x"]),
        ("<base href=//o.test><a href=x>", ["http://o.test/x"]),
        ("<base href=data:,><a href=x>", ["http://h.test/a/x"]),
        (f"<base href=/{'c' * 3000}/><a href=x>", ["http://h.test/a/x"]),
        ("<a href=x rel='noopener NoFollow'><a href=y rel=nofollowing><a href=z rel=next>", ["y", "z"]),
        ("<a href=x rel=nofollow><a href=x><area href=y rel='a\fnofollow'>", ["x"]),
        (b"<meta charset=utf-8><a href=x\xed\xa0\x80>", ["x%EF%BF%BD%EF%BF%BD%EF%BF%BD"]),
        ("", []),
    ],
)
def test_links(body: str | bytes, links: list[str]) -> None:
    assert read(body).links == tuple(link if "://" in link else f"http://h.test/a/{link}" for link in links)


def test_nofollow_links_are_counted_only_where_nofollow_is_obeyed() -> None:
    body = "<meta name=robots content=nofollow><a href=x rel=nofollow>"
    assert read(body).links == ()
    reading = read(body, "text/html", "nofollow", obey_nofollow=False)
    assert reading.links == ("http://h.test/a/x",)
    assert reading.nofollow


def test_links_are_filtered_by_path_not_by_host() -> None:
    body = f"<a href=/no/1><a href=/yes/1><a href=//o.test/yes/2><a href=/yes/{'x' * 3000}>"
    assert read(body, exclude=("^/no/",)).links == ("http://h.test/yes/1", "http://o.test/yes/2")


@pytest.mark.parametrize(("most", "links", "cut"), [(0, 0, 10), (3, 3, 7), (9, 9, 1), (10, 10, 0), (100, 10, 0)])
def test_links_beyond_the_limit_are_counted(most: int, links: int, cut: int) -> None:
    body = "".join(f"<a href={number}><a href={number}>" for number in range(10))
    reading = read(body, max_links=most)
    assert reading.links == tuple(f"http://h.test/a/{number}" for number in range(links))
    assert reading.cut == cut


def test_links_that_are_too_long_are_counted_and_do_not_use_up_the_limit() -> None:
    body = "".join(f"<a href=/{'x' * 3000}{number}>" for number in range(4)) + "<a href=/1><a href=/2>"
    reading = read(body, max_links=6)
    assert (reading.links, reading.cut) == (("http://h.test/1", "http://h.test/2"), 4)
    assert read(body, max_links=2).cut == 4
    assert read(body, max_url_length=10_000).cut == 0


def test_the_text_of_a_page_with_links_is_sketched_on_request() -> None:
    def fingerprint(body: str, follow: bool = True, asked: bool = True) -> tuple[int, int] | None:
        rules = Rules()
        return read_page(body.encode(), PAGE, PageHeaders("text/html"), rules, Resolver(), follow, asked).fingerprint

    may = fingerprint("<a href=/5>May</a> 2026")
    assert may is not None
    assert may == fingerprint("<p>May<a href=/6> 2026</a>"), "markup and links do not affect the fingerprint"
    assert may[1] == (fingerprint("<a href=/5>May</a> 2027") or may)[1] != may[0]
    assert (
        fingerprint("May 2026")
        is fingerprint("<a href=/5>", follow=False)
        is fingerprint("<a href=/5>", asked=False)
        is None
    )


def test_inadmissible_hrefs_do_not_use_up_the_limit() -> None:
    body = "".join(f"<a href=/no/{number}>" for number in range(100)) + "<a href=/yes/1><a href=/yes/2><a href=/yes/3>"
    reading = read(body, max_links=2, exclude=("^/no/",))
    assert reading.links == ("http://h.test/yes/1", "http://h.test/yes/2")
    assert reading.cut == 1


@pytest.mark.parametrize(
    ("body", "content_type", "charset", "link"),
    [
        (b"<a href=?q=\xe9>", "text/html; charset=latin1", "windows-1252", "b?q=%E9"),
        (b"<meta charset=koi8-r><a href=?q=\xc1>", "text/html", "KOI8-R", "b?q=%C1"),
        ("\ufeff<a href=?q=é>".encode("utf-16-le"), "text/html", "UTF-16LE", "b?q=%C3%A9"),
        ("<a href=?q=é>".encode(), "text/html; charset=utf-8", "UTF-8", "b?q=%C3%A9"),
        (b"<a href=?q=&#9731;\xe9>", "text/html; charset=latin1", "windows-1252", "b?q=%26%239731%3B%E9"),
        (b"<area href=\xe9?q=\xe9#\xe9>", "text/html; charset=latin1", "windows-1252", "%C3%A9?q=%E9"),
        (b"<iframe src=?q=\xe9>", "text/html; charset=latin1", "windows-1252", "b?q=%E9"),
        (b"<meta http-equiv=refresh content='0;?q=\xe9'>", "text/html; charset=latin1", "windows-1252", "b?q=%E9"),
        (b"<base href=/a/c?q=\xe9><a href=''>", "text/html; charset=latin1", "windows-1252", "c?q=%E9"),
        (b"\xef\xbb\xbf<meta charset=koi8-r><a href=\xc3\xa9>", "text/html; charset=koi8-r", "UTF-8", "%C3%A9"),
        ("\ufeff<a href=é>".encode("utf-16-le"), "text/html; charset=utf-8", "UTF-16LE", "%C3%A9"),
        (b"<meta charset=utf-8><a href=\xc1>", "text/html; charset=koi8-r", "KOI8-R", "%D0%B0"),
        (b"<meta charset=koi8-r><a href=\xc1>", "text/html", "KOI8-R", "%D0%B0"),
        (
            b"<meta http-equiv=content-type content='a; charset=sjis'><a href=\x82\xa0>",
            "text/html",
            "Shift_JIS",
            "%E3%81%82",
        ),
        (b"<p>" * 999 + b"<meta charset=koi8-r><a href=\xc1>", "text/html", "KOI8-R", "%D0%B0"),
        (b"<meta charset=latin1><a href=\xe9>", "text/html", "windows-1252", "%C3%A9"),
        (b"<meta charset=zip><a href=\xc3\xa9>", "text/html; charset=unicode_escape", "UTF-8", "%C3%A9"),
        (b"<a href=\xc3\xa9>", "text/html; charset=idna", "UTF-8", "%C3%A9"),
        (b"<a href=\xc3\xa9>", "text/html;charset='UTF8'", "UTF-8", "%C3%A9"),
        (b"<a href=\xe9>", "text/html; charset=\ud800", "windows-1252", "%C3%A9"),
        (b"<a href=\xc3\xa9>\xc3\xa9\xe2\x82", "text/html", "UTF-8", "%C3%A9"),
        (b"<a href=\xc3\xa9>\xc3\xa9", "text/html", "UTF-8", "%C3%A9"),
        (b"<a href=e>", "text/html", "windows-1252", "e"),
    ],
)
def test_the_charset_of_a_page(body: bytes, content_type: str, charset: str, link: str) -> None:
    reading = read(body, content_type)
    assert reading.charset == charset
    assert reading.links == (f"http://h.test/a/{link}",)
    assert read(body, content_type, follow=False).charset == charset


@pytest.mark.parametrize(
    ("content_type", "body", "parsed"),
    [
        ("text/html", "<a href=x>", True),
        (" TEXT/HTML ; charset=utf-8", "<a href=x>", True),
        ("application/xhtml+xml", "<!DOCTYPE x [<!ENTITY e 'y'>]><a href='x'/>", True),
        ("text/plain", "<!DOCTYPE html><a href=x>", False),
        ("application/pdf", "<a href=x>", False),
        ("", "\ufeff \n<!doctype HTML><a href=x>", True),
        ("*/*", "<!--x--><a href=x>", True),
        ("", "<abbr><a href=x>", False),
        ("", "%PDF <a href=x>", False),
    ],
)
def test_only_html_is_parsed(content_type: str, body: str, parsed: bool) -> None:
    assert bool(read(body, content_type).links) is parsed


def test_other_types_have_their_declared_charset() -> None:
    assert read("x", "text/plain; charset=latin1").charset == "windows-1252"
    assert read("x", "text/plain").charset == ""
    assert read("x", "image/png", "noindex") == Reading("", noindex=True)


@pytest.mark.parametrize(
    ("headers", "noindex", "nofollow"),
    [
        ([], False, False),
        (["noindex"], True, False),
        (["NoIndex, NoFollow"], True, True),
        (["none"], True, True),
        (["noarchive", "nofollow"], False, True),
        (["us: noindex"], True, False),
        (["US:noindex"], True, False),
        (["otherbot: noindex, nofollow"], False, False),
        (["otherbot: noindex, us: nofollow"], False, True),
        (["otherbot: noindex", "nofollow"], False, True),
        (["unavailable_after: Friday, 25 Jun 2027 15:00:00 GMT, noindex"], True, False),
        (["max-snippet: 0, max-image-preview:none"], False, False),
        (["noindexing"], False, False),
        ([",:,:"], False, False),
    ],
)
def test_robots_directives_in_headers(headers: list[str], noindex: bool, nofollow: bool) -> None:
    for follow in (True, False):
        reading = read("<a href=x>", "text/html", *headers, follow=follow)
        assert (reading.noindex, reading.nofollow) == (noindex, nofollow)
        assert bool(reading.links) is (follow and not nofollow)


@pytest.mark.parametrize(
    ("metas", "noindex", "nofollow"),
    [
        ("<meta name=robots content=noindex>", True, False),
        ("<META NAME=RoBoTs CONTENT='NOFOLLOW , NOARCHIVE'>", False, True),
        ("<meta name=us content=none>", True, True),
        ("<meta name=googlebot content=none>", False, False),
        ("<meta name=robots content=all><meta name=us content=noindex>", True, False),
        ("<body><p><meta name=robots content='noindex nofollow'>", True, True),
        ("<meta name=robots><meta content=noindex><meta name=description content=noindex>", False, False),
        ("<!-- <meta name=robots content=noindex> -->", False, False),
    ],
)
def test_robots_directives_in_meta_elements(metas: str, noindex: bool, nofollow: bool) -> None:
    for body in (metas + "<a href=x>", f"\ufeff{metas}<a href=x>".encode("utf-16-be")):
        for follow in (True, False):
            reading = read(body, follow=follow)
            assert (reading.noindex, reading.nofollow) == (noindex, nofollow)
            assert bool(reading.links) is (follow and not nofollow)


def test_a_crawler_without_a_name_obeys_directives_for_all_robots() -> None:
    assert not read("<meta name='' content=noindex><meta content=noindex>", user_agent="007").noindex
    assert read("<meta name=robots content=noindex>", user_agent="007").noindex


def left(reading: Reading) -> dict[str, int]:
    return {str(kind): count for kind, count in reading.not_followed}


@pytest.mark.parametrize(
    ("body", "links"),
    [
        ("<iframe src=x></iframe><a href=y>", ["x", "y"]),
        ("<a href=y><iframe src=x>", ["y", "x"]),
        ("<frameset><frame src=x><frame src=y><noframes><a href=z></noframes></frameset>", ["x", "y"]),
        ("<iframe></iframe><iframe src=about:blank></iframe><iframe src='#'></iframe>", ["b"]),
        ("<frame src=x>", []),  # ignored outside of a frameset
        ("<a href=y rel=nofollow><iframe src=x>", ["x"]),
        ("<meta http-equiv=ReFresh content='3; url=x'>", ["x"]),
        ("<noscript><meta http-equiv=refresh content='0;x'></noscript><a href=y>", ["y", "x"]),
        ("<meta http-equiv=refresh content=5><meta http-equiv=refresh><meta name=refresh content='0;x'>", []),
        ("<base href=/c/><meta http-equiv=refresh content='0;x'><iframe src=y>", ["/c/y", "/c/x"]),
    ],
)
def test_frames_and_refreshes(body: str, links: list[str]) -> None:
    expected = (f"http://h.test{link}" if link[0] == "/" else f"http://h.test/a/{link}" for link in links)
    assert read(body).links == tuple(expected)


def headed(body: str, headers: PageHeaders, **rules: Any) -> Reading:
    ours = Rules(**rules)
    return read_page(body.encode(), PAGE, headers, ours, Resolver(Scope(ours, [PAGE]).admits_path), True)


def test_link_and_refresh_headers() -> None:
    headers = page_headers(
        [
            ("Server", "x"),
            ("refresh", "0;url=r"),
            ("CONTENT-TYPE", "text/html"),
            ("Link", "<n>; rel=next, <p>; rel=prev"),
            ("link", "<c>;rel=canonical"),
        ]
    )
    reading = headed("<a href=a>", headers)
    assert reading.links == ("http://h.test/a/a", "http://h.test/a/r")
    assert left(reading) == {"link_next": 1, "link_prev": 1, "link_canonical": 1}
    reading = headed("<a href=a>", headers, follow_rel=("next", "canonical"))
    assert reading.links == tuple(f"http://h.test/a/{name}" for name in "arnc")
    assert left(reading) == {"link_prev": 1}


def test_relations_are_links_where_they_are_named() -> None:
    body = (
        "<link rel=NEXT href=n><link rel=previous href=p><link rel='alternate stylesheet' href=s><link rel=icon href=i>"
        "<link rel=alternate href=f><link rel=canonical href=b><link rel=next><link href=x><a href=f>"
    )
    reading = read(body)
    assert reading.links == ("http://h.test/a/f",)
    assert left(reading) == {"link_next": 1, "link_prev": 1}, "neither the page itself nor URLs that are links anyway"
    assert read(body, follow_rel=("prev",)).links == ("http://h.test/a/f", "http://h.test/a/p")


@pytest.mark.parametrize(
    ("body", "rules", "counts"),
    [
        ("<a href=x><a href=y>", {}, {}),
        ("<a href=mailto:a><a href=mailto:a><a href=mailto:b><a href=data:,>", {}, {"scheme": 3}),
        ("<a href=http://h.test:x/><a href='http://[/'><a href=//>", {}, {"invalid": 3}),
        ("<a href=/no/1><a href=/no/1#x><a href=/no/2><a href=/yes>", {"exclude": ("^/no/",)}, {"excluded": 2}),
        ("<a href=''><a href=#x>", {"exclude": ("^/a/",)}, {"excluded": 1}),
        ("<a href=x rel=nofollow><a href=y rel=nofollow><a href=y><area rel=nofollow href=z>", {}, {"nofollow": 2}),
        ("<a rel=nofollow><a rel=nofollowing href=x>", {}, {}),
        ("<meta name=robots content=nofollow><a href=x><a href=y><iframe src=z>", {}, {"nofollow": 3}),
        ("<meta name=robots content=nofollow><a href=x rel=nofollow><a href=y>", {}, {"nofollow": 2}),
        ("<a href=x rel=nofollow>", {"obey_nofollow": False}, {}),
        (f"<a href=/{'x' * 3000}><a href=y>", {}, {"too_long": 1}),
        ("<a href=1><a href=2><a href=3>", {"max_links": 1}, {"too_many": 2}),
    ],
)
def test_links_not_followed_are_counted(body: str, rules: dict[str, Any], counts: dict[str, int]) -> None:
    reading = read(body, **rules)
    assert left(reading) == counts
    assert reading.cut == counts.get("too_long", 0) + counts.get("too_many", 0)
    assert left(read(body, follow=False, **rules)) == {}


def test_links_excluded_by_a_header_are_counted() -> None:
    assert left(read("<a href=x><a href=y>", "text/html", "nofollow")) == {"nofollow": 2}


def test_a_page_with_another_content_type_is_counted() -> None:
    assert left(read("<html><a href=x>", "text/plain")) == {"not_html": 1}
    assert left(read("<html><a href=x>", "text/plain", follow=False)) == {}
    assert left(read("%PDF", "application/pdf")) == {}
    nosniff = page_headers([("X-Content-Type-Options", "NoSniff, x")])
    assert nosniff.nosniff
    assert left(headed("<html><a href=x>", nosniff)) == {"not_html": 1}
    assert headed("<html><a href=x>", page_headers([("X-Content-Type-Options", "x")])).links


@pytest.mark.parametrize(
    "types",
    [
        ["text/html charset=utf-8"],
        ["text/html, text/html"],
        ["text/html", "text/html"],
        ["text/plain", "text/html;charset=x"],
        ['text/html;charset="utf-8";;a'],
        ["nonsense"],
        [],
    ],
)
def test_pages_that_browsers_treat_as_html_are_parsed(types: list[str]) -> None:
    headers = page_headers([("Content-Type", value) for value in types])
    assert headed("<!doctype html><a href=x>", headers).links == ("http://h.test/a/x",)


WORDS = rb"""<a href= x ' " > <base href= // <meta charset= utf-16 koi8-r name=robots content= none <area rel=nofollow
    &#xD800; <!-- <svg> </"""
BYTES = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xe3\x81", b"\x1b$B", b"\0", b" ", b" "]
PIECES = st.sampled_from([*WORDS.split(), *BYTES])
BODIES = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=15).map(b"".join))
TYPES = st.sampled_from(["", "text/html", "text/html; charset=gbk", "text/html; charset=utf-16be"]) | st.text(
    max_size=20
)


@given(BODIES, TYPES, st.lists(st.text(alphabet="none:,us ", max_size=12), max_size=2))
@settings(max_examples=200)
def test_no_input_raises_and_following_changes_only_the_links(
    body: bytes, content_type: str, x_robots: list[str]
) -> None:
    followed = read(body, content_type, *x_robots)
    unfollowed = read(body, content_type, *x_robots, follow=False)
    assert all(link.startswith(("http://", "https://")) for link in followed.links)
    assert unfollowed == Reading(followed.charset, (), 0, followed.noindex, followed.nofollow)


def test_which_bodies_are_parsed_as_html() -> None:
    def is_parsed(body: bytes, content_type: str) -> bool:
        return is_html(body, PageHeaders(content_type))

    assert is_parsed(b"", "text/html") and is_parsed(b"<p>", "") and is_parsed(b"", "application/xhtml+xml; a=b")
    assert not is_parsed(b"<p>", "text/plain") and not is_parsed(b"%PDF", "")


def test_an_unread_page_keeps_the_reading_of_its_headers() -> None:
    reading = unread_page(
        PageHeaders("text/html; charset=latin1", ("us: noindex",)), Rules(user_agent="us"), ParseSkipped.CPU_LIMIT
    )
    assert reading == Reading("windows-1252", noindex=True, unread=ParseSkipped.CPU_LIMIT)


@pytest.mark.parametrize("empty", ["<script src='a.js'/>", "<title/>", '<textarea name="t" />', "<iframe\nsrc='f'/>"])
def test_self_closing_elements_in_xhtml_contain_no_links(empty: str) -> None:
    body = f"<html xmlns='http://www.w3.org/1999/xhtml'><body>{empty}<a href='/x'>x</a></body></html>"
    assert "http://h.test/x" in read(body, "application/xhtml+xml").links


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/pdf"])
def test_a_response_that_is_not_a_page_has_the_links_of_its_headers(content_type: str) -> None:
    headers = PageHeaders(content_type, link=("</p2>; rel=next, </c>; rel=canonical",), refresh=("0;url=r",))
    rules = Rules(follow_rel=("next",))
    reading = read_page(b"{}", PAGE, headers, rules, Resolver(), True)
    assert set(reading.links) == {"http://h.test/p2", "http://h.test/a/r"}
    assert dict(reading.not_followed) == {NotFollowed.LINK_CANONICAL: 1}


def test_links_of_headers_are_resolved_against_the_url_of_the_page() -> None:
    headers = PageHeaders("text/html", link=("<l>; rel=next", "<o>; rel=next; anchor='/foo'"), refresh=("0;url=r",))
    rules = Rules(follow_rel=("next",))
    body = b"<base href='/x/'><a href='y'>y</a>"
    reading = read_page(body, PAGE, headers, rules, Resolver(), True)
    assert set(reading.links) == {"http://h.test/x/y", "http://h.test/a/l", "http://h.test/a/r"}


def sketched(body: str) -> tuple[int, int]:
    fingerprint = read_page(body.encode(), PAGE, PageHeaders("text/html"), Rules(), Resolver(), True, True).fingerprint
    assert fingerprint is not None
    return fingerprint


def test_pages_are_distinguished_by_lazily_loaded_images_and_images_in_other_folders() -> None:
    for image in (
        "<img src=/blank.gif data-src=/img/{}.jpg>",
        "<img srcset='/i/{}.jpg 2x'>",
        "<img src=/i/{}/large.jpg>",
    ):
        marks = [sketched(f"<a href=/x>A photo.</a>{image.format(n)}") for n in (1, 2)]
        assert marks[0][0] != marks[1][0] and marks[0][1] != marks[1][1], image


def test_a_session_id_in_file_names_does_not_distinguish_pages() -> None:
    page = "<a href=/s/{0}/next>A page.</a><img src=/s/{0}/logo.png>"
    first, second = (sketched(page.format(session)) for session in ("a1b2c3d4e5", "f6a7b8c9d0"))
    assert first == second


def test_any_other_id_in_file_names_distinguishes_pages() -> None:
    page = "<a href=/next>A photo.</a><img src=/{}/large.jpg>"
    first, second = (sketched(page.format(name)) for name in ("a1b2c3d4e5", "f6a7b8c9d0"))
    assert first != second
