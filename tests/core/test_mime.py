"""Content types: parsing and sniffing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.page.mime import MediaType, is_page, looks_like_page, media_type
from tests.effort import effort


@pytest.mark.parametrize(
    ("header", "essence", "charset"),
    [
        ("text/html", "text/html", ""),
        (" TEXT/HTML ; Charset=UTF-8 ", "text/html", "UTF-8"),
        ('text/html;charset="utf-8"', "text/html", "utf-8"),
        (r'text/html;charset="\u\t\f-8"', "text/html", "utf-8"),
        ('text/html;charset="utf-8', "text/html", "utf-8"),
        ('text/html;charset="gbk"x;a=b', "text/html", "gbk"),
        ('text/html;charset="";charset=gbk', "text/html", ""),
        ("text/html;charset=;charset=gbk", "text/html", "gbk"),
        ("text/html;charset;charset=gbk", "text/html", "gbk"),
        ("text/html;charset=gbk;charset=utf-8", "text/html", "gbk"),
        ("text/html;;; ;charset=gbk", "text/html", "gbk"),
        ("text/html;charset =gbk", "text/html", ""),
        ("text/html;charset=a\x00;charset=gbk", "text/html", "gbk"),
        ('text/html;a=";charset=gbk";charset=utf-8', "text/html", "utf-8"),
        ("text/html;charset='utf-8'", "text/html", "'utf-8'"),
        ("", "", ""),
        ("html", "", ""),
        ("text/", "", ""),
        ("/html", "", ""),
        ("text/html/x", "", ""),
        ("te xt/html", "", ""),
        ("text/html charset=utf-8", "", ""),
        # several: https://fetch.spec.whatwg.org#concept-header-extract-mime-type
        ("text/html, text/html", "text/html", ""),
        ("text/html;charset=gbk, text/html", "text/html", "gbk"),
        ("text/html;charset=gbk, text/html;charset=utf-8", "text/html", "utf-8"),
        ("text/html;charset=gbk, text/plain, text/html", "text/html", ""),
        ("text/html;charset=gbk;a=b, text/html;x=y", "text/html", "gbk"),
        ("text/plain, text/html", "text/html", ""),
        ("text/html, text/plain", "text/plain", ""),
        ("text/html, */*", "text/html", ""),
        ("text/html, , nonsense", "text/html", ""),
        ("*/*", "", ""),
        ('text/plain;a=",text/html"', "text/plain", ""),
        ('text/html;a=",", text/plain', "text/plain", ""),
        (f"{'x' * 600}, text/html", "text/html", ""),
    ],
)
def test_content_types_are_parsed(header: str, essence: str, charset: str) -> None:
    found = media_type(header)
    assert (found.essence, found.charset) == (essence, charset)


@pytest.mark.parametrize(
    ("header", "body", "nosniff", "page"),
    [
        ("text/html", b"no tag", False, True),
        ("text/html", b"no tag", True, True),
        ("application/xhtml+xml", b"", False, True),
        ("text/html charset=utf-8", b"<ul>", False, True),
        (" Application/XHTML+xml\tcharset=utf-8", b"", True, True),
        ("text/htmlcharset=utf-8", b"no tag", False, False),
        ("", b"<!DOCTYPE html>", False, True),
        ("", b"\n <A href=x>", False, True),
        ("", b"\xef\xbb\xbf<html\n>", False, True),
        ("", b"<!-- x", False, True),
        ("", b"<abbr>", False, False),
        ("", b"<a", False, False),
        ("", b"text <a href=x>", False, False),
        ("", b"<!DOCTYPE html>", True, False),
        ("broken", b"<html>", False, True),
        ("unknown/unknown", b"<p>", False, True),
        ("application/unknown", b"<p>", False, True),
        ("*/*", b"<p>", False, True),
        ("application/octet-stream", b"<html>", False, False),
        ("text/plain", b"<html>", False, False),
        ("text/xml", b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>", False, True),
        (
            "application/xml",
            b'<!-- a --><!DOCTYPE html>\n<html lang="a" xmlns="http://www.w3.org/1999/xhtml">',
            False,
            True,
        ),
        ("text/xml", b"<html>", False, False),
        ("text/xml", b"<?xml version='1.0'?><rss><html xmlns='http://www.w3.org/1999/xhtml'>", False, False),
        ("text/xml", b"<?xml never ends", False, False),
        ("text/xml", b"<rss>", False, False),
        ("", b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>", False, True),
    ],
)
def test_which_types_are_pages(header: str, body: bytes, nosniff: bool, page: bool) -> None:
    assert is_page(body, media_type(header), nosniff) is page


def test_the_start_of_an_html_page_is_recognised() -> None:
    assert looks_like_page(b"<!doctype html>") and looks_like_page(b"<?x?><html xmlns='http://www.w3.org/1999/xhtml'>")
    assert not looks_like_page(b"%PDF") and not looks_like_page(b"<?xml?><rss>") and not looks_like_page(b"")


@pytest.mark.parametrize("part", ['"', ';"', ';a="\\', ",", ";", '"\\', ';a="', ";charset=", " ", "a/b,"])
def test_parsing_a_header_takes_linear_time(part: str) -> None:
    _, units = effort(lambda: media_type("text/html" + part * (64_000 // len(part))))
    assert units < 30


@pytest.mark.parametrize("part", [b"<?x?>", b"<!-->", b"<?", b" ", b"<html ", b"<!DOCTYPE ", b"<html xmlns=", b"<!--"])
def test_sniffing_a_body_takes_linear_time(part: bytes) -> None:
    body = part * (1_000_000 // len(part))
    found, units = effort(lambda: (is_page(body, MediaType("text/xml")), looks_like_page(b"<?x?>" + body)))
    assert not found[0] and units < 30


@given(st.text(max_size=60) | st.text(alphabet='text/html;,"\\= charset*', max_size=60))
def test_no_text_raises(text: str) -> None:
    found = media_type(text)
    assert found.essence == found.essence.lower() and found.essence.count("/") in (0, 1)
