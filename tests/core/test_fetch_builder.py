"""Which fetches are sent without the secrets and cookies of their host."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from crawler.core.fetch_builder import FetchBuilder, robots_order
from crawler.core.hosts.cookies import Jar
from crawler.core.hosts.host import Host
from crawler.core.messages import Fetch, Link, SetCookie
from crawler.core.rules import Rules

A, B, HTTP, PORT = "https://a.test", "https://b.test", "http://a.test", "https://a.test:8443"


@pytest.mark.parametrize(
    ("via", "bare"),
    [
        ((), False),
        ((f"{A}/1",), False),
        ((f"{B}/1",), False),  # the chain starts at another host and leads here: nothing was dropped
        ((f"{HTTP}/", f"{A}/1"), False),
        ((f"{A}/1", f"{B}/2"), True),
        ((f"{B}/0", f"{A}/1", f"{B}/2"), True),
        ((f"{A}/1", f"{B}/2", f"{A}/3"), True),  # once dropped, it is not restored
        ((f"{A}/1", f"{HTTP}/2"), True),
        ((f"{A}/1", f"{PORT}/2"), True),
    ],
)
def test_secrets_dropped_in_a_redirect_chain_are_not_restored(via: tuple[str, ...], bare: bool) -> None:
    link, jar = Link(1, f"{A}/x", 2, via, attempts=2), Jar()
    order = FetchBuilder(jar, Rules()).page(7, link, 0.0)
    assert order == Fetch(7, f"{A}/x", 3, without_credentials=bare, want_fingerprint=True)
    jar.take([SetCookie(A, "/", "n", "v")], 0.0)
    assert FetchBuilder(jar, Rules()).page(7, link, 0.0) == replace(order, cookie="" if bare else "n=v")


@pytest.mark.parametrize(("url", "bare"), [(f"{A}/robots.txt", False), (f"{A}/other", True), (f"{B}/robots.txt", True)])
def test_a_redirected_robots_txt_is_fetched_without_secrets(url: str, bare: bool) -> None:
    host = Host(A, Rules())
    host.robots_url = url
    assert robots_order(7, host) == Fetch(7, url, 1, extract_links=False, robots=True, without_credentials=bare)
