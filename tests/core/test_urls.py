"""Canonical URLs; a cache that never changes the result."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.core.urls.canonical import Resolver, canonical, host_of, path_of, resolve

PAGE = "http://h.test/a/b?c"

# Text that resembles a URL: every character with a meaning for the parser, and some without.
HREFS = st.one_of(
    st.text(alphabet="htps:/\\?#@.%aA0 \t\n\r\x00[]&=\ud800é", max_size=12),
    st.builds(
        "".join, st.lists(st.sampled_from(["http:", "HTTPS:", "//", "h.test", "u:p@", "..", "/x", "?q", "#f", " "]))
    ),
    st.text(st.characters(), max_size=20),
)
PAGES = st.sampled_from(
    [PAGE, "http://h.test/", "https://h.test:8443/a/b/", "http://h.test/a/b?x=/y/z", "http://[::1]/a"]
)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h.test", "http://h.test/"),
        ("HTTP://H.Test:80/A/../b#c", "http://h.test/b"),
        ("https://h.test:8443/?q#", "https://h.test:8443/?q"),
        ("http://user:secret@h.test/a@b", "http://h.test/a@b"),
        ("http://h.test/a@b", "http://h.test/a@b"),
        ("  http://h.test/\ta\n", "http://h.test/a"),
        ("http://bücher.test/ü", "http://xn--bcher-kva.test/%C3%BC"),
        ("http://h.test/\ud800", "http://h.test/%EF%BF%BD"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("ftp://h.test/", None),
        ("mailto:a@h.test", None),
        ("javascript:void(0)", None),
        ("/a", None),
        ("http://", None),
        ("http://h.test:99999/", None),
        ("", None),
    ],
)
def test_canonical(url: str, expected: str | None) -> None:
    assert canonical(url) == expected


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("x", "http://h.test/a/x"),
        ("../x#y", "http://h.test/x"),
        ("//o.test/x", "http://o.test/x"),
        ("https:x", "https://x/"),
        ("http:x", "http://h.test/a/x"),
        ("", PAGE),
        ("#f", PAGE),
        ("?q", "http://h.test/a/b?q"),
        ("http:", PAGE),
        (" http:?q", "http://h.test/a/b?q"),
        ("x #f", "http://h.test/a/x%20"),
        ("x ", "http://h.test/a/x"),
        ("data:text/html,x", None),
    ],
)
def test_resolve_with_and_without_cache(href: str, expected: str | None) -> None:
    resolver = Resolver()
    resolver.resolve_all("http://h.test/a/other?page", [href])
    assert resolve(PAGE, href) == expected
    assert resolver.resolve_all(PAGE, [href]) == ([] if expected is None else [expected])


def test_slices_of_a_canonical_url() -> None:
    assert host_of("https://h.test:8443/a/b?c=/d") == "https://h.test:8443"
    assert host_of("http://[::1]/") == "http://[::1]"
    assert path_of("https://h.test:8443/a/b?c=/d") == "/a/b"
    assert path_of("http://a/") == "/"


def test_urls_are_distinct_and_in_order_of_appearance() -> None:
    hrefs = ["z", "a#1", "mailto:x", "z", "a#2", "a", "/a/z", "#top"]
    assert Resolver().resolve_all(PAGE, hrefs) == ["http://h.test/a/z", "http://h.test/a/a", PAGE]


def test_urls_not_admitted_are_left_out_also_with_the_cache() -> None:
    resolver = Resolver(lambda url: not url.endswith((".png", "?c")))
    for _ in range(2):
        assert resolver.resolve_all(PAGE, ["x.png", "x.html", "#top", "mailto:x", "?q", ""]) == [
            "http://h.test/a/x.html",
            "http://h.test/a/b?q",
        ]


@given(HREFS)
def test_canonical_is_idempotent(text: str) -> None:
    url = canonical(text)
    if url is not None:
        assert canonical(url) == url
        assert url.isascii()
        assert "#" not in url and "@" not in host_of(url)
        assert url.partition("?")[0] == host_of(url) + path_of(url)


@given(st.lists(st.tuples(PAGES, st.lists(HREFS, max_size=6)), max_size=6), st.integers(0, 3000))
@settings(max_examples=200)
def test_the_cache_never_changes_the_result(pages: list[tuple[str, list[str]]], memory: int) -> None:
    roomy, tight = Resolver(), Resolver(memory=memory)
    for _ in range(2):
        for base, hrefs in pages:
            plain = [url for href in hrefs if (url := resolve(base, href)) is not None]
            assert roomy.resolve_all(base, hrefs) == list(dict.fromkeys(plain))
            assert tight.resolve_all(base, hrefs) == list(dict.fromkeys(plain))


def test_the_cache_is_bounded() -> None:
    resolver = Resolver(memory=100_000)
    for number in range(1000):
        hrefs = [f"{number}-{href}" for href in range(10)] + ["x" * 50_000]
        resolver.resolve_all(f"http://h.test/{number}/", hrefs)
        entries = sum(map(len, resolver._directories.values()))
        assert len(resolver._directories) + entries < 100_000 / 300


def test_one_page_cannot_fill_the_cache() -> None:
    resolver = Resolver(memory=100_000)
    kept = resolver._directory(PAGE)
    assert len(resolver.resolve_all(PAGE, map(str, range(5000)))) == 5000
    assert len(kept) < 100_000 / 300


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://xn--/", "https://xn--/"),
        ("http://u:p@a.XN--pokxncvks:81/XN--/?xn--#x", "http://a.xn--pokxncvks:81/XN--/?xn--"),
        ("http://xn--9ca.xn--pokxncvks", "http://xn--9ca.xn--pokxncvks/"),
        ("http://xq--a.xn--pokxncvks/xj--", "http://xq--a.xn--pokxncvks/xj--"),
        ("http://\xe9.xn--pokxncvks/", None),
        ("http://%C3%A9.xn--pokxncvks/", None),
        ("http://xn--pokxncvks:99999/", None),
        ("mailto:a@xn--pokxncvks", None),
    ],
)
def test_an_ascii_name_whose_punycode_is_broken_is_kept(url: str, expected: str | None) -> None:
    assert canonical(url) == expected
    if expected:
        assert canonical(expected) == expected
        assert resolve(expected, "/other") == host_of(expected) + "/other"
        assert Resolver().resolve_all(expected, ["y", "http://a.test/"])[1:] == ["http://a.test/"]
