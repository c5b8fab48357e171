"""How a response is turned into an event, one rule per test; no network, no clock."""

from __future__ import annotations

import time
from typing import Any

import pytest

from crawler.core.messages import Fetch, Fetched
from crawler.core.page.digest import term
from crawler.core.reasons import FetchErrorKind
from crawler.core.rules import Rules
from crawler.core.urls.scope import Scope
from crawler.fetch.base import FetchError, Response
from crawler.pipeline.page_processor import PageProcessor
from crawler.pipeline.response_facts import retry_after
from crawler.pipeline.visit import failed
from crawler.storage.pages.base import Page

HERE = "http://a.test/folder/page"
NOW = 1_700_000_000.0
HTML = ("Content-Type", "text/html; charset=utf-8")


def read(
    status: int = 200,
    *headers: tuple[str, str],
    body: bytes = b"",
    robots: bool = False,
    max_body: int = 1000,
    fingerprint: bool = False,
    **keys: Any,
) -> tuple[Page | None, Fetched]:
    rules = Rules(robots_size=20, **keys)
    reader = PageProcessor(rules, Scope(rules, [HERE]), max_body)
    response = Response(status, headers, body, "", 0.1, 0.2)
    return reader.read(Fetch(1, HERE, robots=robots, want_fingerprint=fingerprint), response, NOW)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/caf%C3%A9", "http://a.test/caf%C3%A9"),
        ("/café".encode().decode("latin-1"), "http://a.test/caf%C3%A9"),  # UTF-8, as it comes from the wire
        ("/caf\xe9", "http://a.test/caf%C3%A9"),  # Latin-1
        ("next#part", "http://a.test/folder/next"),
        ("ftp://a.test/", ""),
        ("", ""),
    ],
)
def test_a_redirect_is_resolved(written: str, meant: str) -> None:
    page, event = read(301, ("Location", written), body=b"moved")
    assert (page is None) is (meant != "")
    assert event.location == meant


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_without_a_usable_target_is_a_page(status: int) -> None:
    page, event = read(status, HTML, body=b"<a href=/x>")
    assert page is not None and page.body == b"<a href=/x>"
    assert (event.links, event.size) == (("http://a.test/x",), 11)
    assert event.digest == page.digest == term(page.url, status, page.body)
    page, event = read(status, HTML, body=b"")
    assert page is None and event.digest == term("http://a.test/folder/page", status)


def test_an_unrequested_206_is_a_truncated_page() -> None:
    page, event = read(206, HTML, ("Content-Range", "bytes 0-10/99"), body=b"<a href=/x>")
    assert page is not None and page.truncated == event.truncated == "range"
    assert event.links == ("http://a.test/x",)


@pytest.mark.parametrize(
    ("content_range", "mark"), [("bytes 0-10/11", ""), ("bytes 0-9/11", "range"), ("bytes 1-11/12", "range")]
)
def test_a_206_that_covers_the_whole_body_is_a_complete_page(content_range: str, mark: str) -> None:
    page, event = read(206, HTML, ("Content-Range", content_range), body=b"<a href=/x>")
    assert page is not None and page.truncated == event.truncated == mark


def test_a_redirect_to_a_url_that_is_too_long_counts_as_a_cut_link() -> None:
    _, event = read(302, ("Location", "/" + "x" * 3000))
    assert (event.cut, event.not_followed) == (1, (("too_long", 1),))


@pytest.mark.parametrize("status", [300, 404, 410, 500, 503])
def test_an_error_page_is_counted_or_read(status: int) -> None:
    body, later = b"<a href=/x>", ("Retry-After", "7")
    page, event = read(status, HTML, later, body=body)
    assert page is None and event.links == () and event.not_followed == (("error_page", 1),)
    assert read(status, ("Content-Type", "text/plain"), body=body)[1].not_followed == ()
    assert read(status, HTML, body=b"")[1].not_followed == ()
    assert read(status, HTML, ("Content-Encoding", "gzip"), body=b"\x1f\x8b")[1].not_followed == (("error_page", 1),)
    page, event = read(status, HTML, later, body=body, follow_errors=True)
    assert page is None and event.links == ("http://a.test/x",) and event.not_followed == ()
    assert (event.retry_after, event.size, event.digest) == (7.0, 0, term("http://a.test/folder/page", status))


@pytest.mark.parametrize("status", [302, 404])
def test_a_broken_content_coding_of_an_error_response_does_not_hide_its_status(status: int) -> None:
    page, event = read(status, HTML, ("Content-Encoding", "gzip"), body=b"no gzip", follow_errors=True)
    assert page is None and event.status == status and event.links == ()
    with pytest.raises(FetchError):
        read(200, HTML, ("Content-Encoding", "gzip"), body=b"no gzip")


def test_several_content_types_are_joined() -> None:
    page, event = read(200, HTML, ("content-type", "text/plain"), body=b"<a href=/x>")
    assert page is not None and page.content_type == event.content_type == "text/html; charset=utf-8, text/plain"
    assert event.links == () and event.not_followed == (("not_html", 1),)


def test_links_are_normalised_and_texts_sketched_as_the_fetch_and_the_rules_say() -> None:
    body = b"<a href='/%7Eme/'>"
    assert read(200, HTML, body=body)[1].links == ("http://a.test/~me/",)
    assert read(200, HTML, body=body, respell=False)[1].links == ("http://a.test/%7Eme/",)
    assert read(200, HTML, body=body)[1].fingerprint is None
    assert read(200, HTML, body=body, fingerprint=True)[1].fingerprint is not None


def test_only_redirects_have_a_location() -> None:
    assert read(404, ("Location", "/x"))[1].location == ""


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30", 30.0),
        (" 007 ", 7.0),
        ("9" * 400, 999_999_999_999.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30.0),
        ("Tue Nov 14 22:13:50 2023", 30.0),
        ("Tue, 14 Nov 2000 22:13:50 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("\u0663", None),
        ("", None),
    ],
)
def test_every_form_of_retry_after_is_parsed_in_any_time_zone(
    written: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for zone in ("UTC", "America/New_York"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert retry_after(written, NOW) == seconds
    monkeypatch.undo()
    time.tzset()


def test_a_page_is_stored_with_its_links() -> None:
    page, event = read(200, HTML, body=b"<a href=x>")
    assert page is not None
    assert (page.body, page.charset, event.links) == (b"<a href=x>", "UTF-8", ("http://a.test/folder/x",))
    assert event.digest == page.digest


def test_a_body_beyond_the_cap_is_cut_there() -> None:
    page, event = read(200, HTML, body=b"x" * 1001)
    assert page is not None
    assert (len(page.body), page.truncated, event.truncated, event.size) == (1000, "length", "length", 1000)


def test_a_noindex_page_is_marked_or_left_out() -> None:
    page, _ = read(200, HTML, ("X-Robots-Tag", "noindex"), body=b"<p>")
    assert page is not None
    assert page.noindex
    page, event = read(200, HTML, ("X-Robots-Tag", "noindex"), body=b"<p>", obey_noindex=True)
    assert (page, event.size) == (None, 0)


def test_robots_txt_has_its_own_cap_and_is_not_stored() -> None:
    page, event = read(200, body=b"Disallow: /a\nDisallow: /b\n", robots=True)
    assert page is None
    assert event.robots_text == "Disallow: /a\n", "an incomplete last line is dropped"


def test_a_fetch_without_a_thread_is_a_shortage_of_resources() -> None:
    fetch = Fetch(1, "http://a.test/", 1)
    wanting = failed(fetch, FetchError(FetchErrorKind.INTERNAL, "RuntimeError: can't start new thread"), 0.1)
    assert (wanting.kind, wanting.seconds) == (FetchErrorKind.RESOURCE_EXHAUSTED, 0.1)
    assert failed(fetch, FetchError(FetchErrorKind.INTERNAL, "KeyError: 1"), 0.1).kind is FetchErrorKind.INTERNAL
