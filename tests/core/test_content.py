"""The content of a page: its title, its text, its links."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.page import content
from crawler.core.page.links import PageHeaders

HTML = PageHeaders("text/html")
PAGE = "http://h.test/a/b"


def title(body: bytes, headers: PageHeaders = HTML) -> str:
    return content.title(content.document(body, headers))


def text(body: bytes, headers: PageHeaders = HTML) -> str:
    return content.text(content.document(body, headers), body, headers)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<title>One &amp;\n  two</title>", "One & two"),
        (b"<svg><title>icon</title></svg><title>One</title>", "One"),
        (b"<title>One</title><title>Two</title>", "One"),
        (b"<p>no title", ""),
        (b"", ""),
    ],
)
def test_the_title_is_the_first_with_single_spaces(body: bytes, told: str) -> None:
    assert title(body) == told


def test_the_text_has_no_scripts_and_a_line_for_each_block() -> None:
    shown = text(b"<title>t</title><style>p{}</style><p>One <b>two</b></p><script>x()</script><p>three")
    assert shown.split("\n") == ["One two", "", "three"]


def test_the_charset_is_that_of_the_page() -> None:
    latin = PageHeaders("text/html; charset=latin1")
    body = b"<title>caf\xe9</title>"
    assert title(body, latin) == "caf\xe9"
    assert content.decoded(content.document(body, latin), body, latin) == "<title>caf\xe9</title>"


@pytest.mark.parametrize(
    ("content_type", "body", "told"),
    [
        ("text/plain", b"a < b", "a < b"),
        ("text/plain; charset=latin1", b"\xe9", "\xe9"),
        ("application/json", b'{"a": 1}', '{"a": 1}'),
        ("image/png", b"\x89PNG", ""),
        ("image/svg", b"plain", ""),
    ],
)
def test_other_bodies_are_shown_where_they_are_text(content_type: str, body: bytes, told: str) -> None:
    assert text(body, PageHeaders(content_type)) == told
    assert title(body, PageHeaders(content_type)) == ""


def test_a_body_that_is_no_text_is_not_decoded() -> None:
    assert content.decoded(None, b"\x89PNG\xff", PageHeaders("image/png")) is None


def test_links_are_those_of_any_host_also_with_nofollow() -> None:
    body = b"<base href=/c/><a href=x><a href=x#f><a href=//o.test/y rel=nofollow><a href=mailto:a@h.test>"
    assert content.links(body, PAGE, HTML) == ("http://h.test/c/x", "http://o.test/y")


@given(
    st.binary(), st.sampled_from(["", "text/html", "text/plain; charset=x", "text/html; charset=iso-2022-kr", "a/b"])
)
def test_nothing_raises_whatever_the_body(body: bytes, content_type: str) -> None:
    headers = PageHeaders(content_type)
    page = content.document(body, headers)
    assert isinstance(content.title(page) + content.text(page, body, headers), str)
    assert isinstance(content.decoded(page, body, headers), str | None)
    assert isinstance(content.links(body, PAGE, headers), tuple)
