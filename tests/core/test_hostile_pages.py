"""The cost of reading a page is bounded per byte and grows linearly with its size, whatever it contains."""

from __future__ import annotations

from functools import partial

import pytest

from crawler.core.page.charsets import SAMPLE
from crawler.core.page.links import PageHeaders, Reading, read_page
from crawler.core.page.outlinks import MOST_HREFS
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Resolver
from crawler.core.urls.scope import Scope
from tests import hostile_pages
from tests.effort import effort, stays_below

URL = "http://h.test/a"
SMALL, LARGE = 1 << 20, 4 << 20
MOST_UNITS = 1000
"""For LARGE. A page of 10 MiB may then take 2,500 units, which are two seconds where a unit is 0.8 ms."""


def read(body: bytes, content_type: str = "text/html", **rules: object) -> Reading:
    ours = Rules(**rules)  # type: ignore[arg-type]
    return read_page(body, URL, PageHeaders(content_type), ours, Resolver(Scope(ours, [URL]).admits_path), True)


@pytest.mark.parametrize("name", hostile_pages.NAMES)
def test_effort_is_bounded_and_grows_linearly_with_the_page(name: str) -> None:
    kind = "application/xhtml+xml" if name == "xhtml" else "text/html"
    _, little = effort(partial(read, hostile_pages.page(name, SMALL), kind))
    linear = 12 * max(little, 10)  # four times as large: sixteen times would be quadratic
    assert stays_below(min(MOST_UNITS, linear), partial(read, hostile_pages.page(name, LARGE), kind))


def test_hrefs_beyond_the_limit_are_counted_and_not_resolved() -> None:
    body = "".join(f"<a href=mailto:{number}>" for number in range(MOST_HREFS + 7)) + "<a href=/x><a href=mailto:0>"
    reading = read(body.encode())
    assert (reading.links, reading.cut) == ((), 8)


PADDING = b"<p>" + b" " * SAMPLE


@pytest.mark.parametrize(
    ("body", "charset", "link"),
    [
        (PADDING + "<a href=/日>".encode(), "UTF-8", "%E6%97%A5"),
        (PADDING + "<a href=/日本語のページ>こんにちは</a>".encode("shift_jis"), "Shift_JIS", "%E6%97%A5"),
        (PADDING + b"<a href=/\xe9>", "windows-1252", "%C3%A9"),
        (PADDING + b"<meta charset=koi8-r><a href=/\xc1>", "KOI8-R", "%D0%B0"),
        (b"\xff\xfe" + "<a href=/é>".encode("utf-16-le") + b" \0" * SAMPLE, "UTF-16LE", "%C3%A9"),
        (b"\xef\xbb\xbf<a href=/\xc3\xa9>\xff" + PADDING, "UTF-8", "%C3%A9"),
        (b"<a href=/\xc1\xc2\xd7>" + "<p>привет, мир".encode("koi8-r") * 50_000, "KOI8-U", "%D0%B0"),
    ],
)
@pytest.mark.parametrize("follow", [True, False])
def test_the_charset_of_a_large_page_is_that_of_a_small_one(body: bytes, charset: str, link: str, follow: bool) -> None:
    ours = Rules()
    reading = read_page(body, URL, PageHeaders("text/html"), ours, Resolver(Scope(ours, [URL]).admits_path), follow)
    assert reading.charset == charset
    assert not follow or reading.links[0].startswith(f"http://h.test/{link}")
