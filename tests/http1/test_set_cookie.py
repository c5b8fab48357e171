"""Parsing of Set-Cookie: RFC 6265 sections 5.1 to 5.3, and where the crawler accepts less than it allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.messages import SetCookie
from crawler.fetch.http1.set_cookie import LONGEST_LIFE, MOST, read, read_all

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20
HOST = "https://www.a.example"
URL = f"{HOST}/dir/page.html"


def cookie(value: str, url: str = URL) -> SetCookie | None:
    return read(value, url, NOW)


@pytest.mark.parametrize(
    ("value", "name", "content"),
    [
        ("a=b", "a", "b"),
        (" a = b ; ", "a", "b"),
        ("a=b=c", "a", "b=c"),
        ('a="b; c"', "a", '"b'),
        ("a=", "a", ""),
        ("=b", "", "b"),
        ("b", "", "b"),
        ("a=b; unknown=x; a=c; Comment", "a", "b"),
    ],
)
def test_names_and_values(value: str, name: str, content: str) -> None:
    assert cookie(value) == SetCookie(HOST, "/dir", name, content)


@pytest.mark.parametrize(
    "value",
    ["", ";", "=", "; Path=/", "a\0=b", "a=b\x7f", "a=\xe9", "a=b\r\nX: 1", "a\x1b=b", f"a={'b' * 4096}", "\u202e=x"],
)
def test_cookies_that_could_not_be_sent_back_are_ignored(value: str) -> None:
    assert cookie(value) is None


@pytest.mark.parametrize(
    ("domain", "url", "home"),
    [
        ("", URL, HOST),
        ("a.example", URL, "https://.a.example"),
        (".A.Example", URL, "https://.a.example"),
        ("www.a.example", URL, "https://.www.a.example"),
        ("www.a.example", "https://www.a.example:8443/", "https://.www.a.example"),
        ("x.www.a.example", URL, None),
        ("b.example", URL, None),
        ("w.a.example", URL, None),
        ("example", URL, None),
        ("com", "https://a.com/", None),
        ("co.uk", "https://a.co.uk/", None),
        ("github.io", "https://me.github.io/", None),  # a private suffix: sibling domains have different owners
        ("github.io", "https://github.io/", "https://github.io"),
        ("localhost", "http://localhost:8000/", "http://localhost:8000"),
        ("127.0.0.1", "http://127.0.0.1:80/", "http://127.0.0.1:80"),
        ("0.0.1", "http://127.0.0.1/", None),
        ("[::1]", "http://[::1]:81/", "http://[::1]:81"),
        ("a b", URL, None),
        ("..", URL, None),
    ],
)
def test_domains(domain: str, url: str, home: str | None) -> None:
    found = cookie(f"a=b; Domain={domain}", url)
    assert (found and found.home) == home


@pytest.mark.parametrize(
    ("path", "url", "kept"),
    [
        ("/x", URL, "/x"),
        ("", URL, "/dir"),
        ("x", URL, "/dir"),
        ("", f"{HOST}/", "/"),
        ("", f"{HOST}/page?a/b", "/"),
        ("/" + "x" * 2000, URL, "/dir"),
    ],
)
def test_paths(path: str, url: str, kept: str) -> None:
    found = cookie(f"a=b; path={path}", url)
    assert found is not None and found.path == kept


@pytest.mark.parametrize(
    ("value", "url", "kept"),
    [
        ("a=b; Secure", URL, True),
        ("a=b; Secure", "http://www.a.example/", False),
        ("__Secure-a=b; Secure", URL, True),
        ("__secure-a=b", URL, False),
        ("__Host-a=b; Secure; Path=/", URL, True),
        ("__Host-a=b; Secure; Path=/; Domain=a.example", URL, False),
        ("__Host-a=b; Secure", URL, False),
        ("__Host-a=b; Path=/", URL, False),
        ("__Host-a=b; Secure; Path=/", "http://www.a.example/", False),
    ],
)
def test_secure_and_prefixes(value: str, url: str, kept: bool) -> None:
    assert (cookie(value, url) is not None) == kept


@pytest.mark.parametrize(
    ("attributes", "lasts"),
    [
        ("", None),
        ("Max-Age=60", 60.0),
        ("Max-Age=0", 0.0),
        ("Max-Age=-1", 0.0),
        ("Max-Age=1.5", None),
        ("Max-Age=+5", None),
        ("Max-Age=", None),
        ("Max-Age=" + "9" * 5000, None),  # longer than the limit of an attribute
        ("Max-Age=" + "9" * 1000, LONGEST_LIFE),
        ("Expires=Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Expires=Tue, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Expires=Tue Nov 14 22:14:20 2023", 60.0),
        ("expires=14 nov 2023 22:14:20; max-age=5", 5.0),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", -NOW),
        ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_LIFE),
        ("Expires=31 Feb 2024 00:00:00", None),
        ("Expires=14 Nov 1600 00:00:00", None),
        ("Expires=14 Nov 2023 25:00:00", None),
        ("Expires=14 Nov 2023", None),
        ("Expires=yesterday", None),
        ("Expires=Tue, 14 Nov 2023 22:14:20 GMT; Expires=nonsense", None),
    ],
)
def test_expiry(attributes: str, lasts: float | None) -> None:
    found = cookie(f"a=b; {attributes}")
    assert found is not None and found.lasts == lasts


def test_a_response_sets_a_limited_number_of_cookies() -> None:
    assert len(read_all([f"c{number}=x" for number in range(10 * MOST)], URL, NOW)) == MOST
    assert read_all(["\0", "a=b"], URL, NOW) == (SetCookie(HOST, "/dir", "a", "b"),)


@given(st.text(), st.lists(st.text(st.characters(max_codepoint=0xFF))))
def test_no_header_raises(value: str, parts: list[str]) -> None:
    for text in (value, ";".join(["a=b", *parts]), f"a=b; Domain={value}; Expires={value}; Max-Age={value}"):
        found = cookie(text)
        assert found is None or f"{found.name}={found.value}".isprintable() or "\t" in found.value + found.name
