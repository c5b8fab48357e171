"""Which orders go out bare: without what is meant for their host alone."""

from __future__ import annotations

import pytest

from crawler.core.messages import Fetch, Link
from crawler.core.orders import order

A, B, HTTP, PORT = "https://a.test", "https://b.test", "http://a.test", "https://a.test:8443"


@pytest.mark.parametrize(
    ("via", "bare"),
    [
        ((), False),
        ((f"{A}/1",), False),
        ((f"{B}/1",), False),  # it begins elsewhere and comes here: nothing was dropped on the way
        ((f"{HTTP}/", f"{A}/1"), False),
        ((f"{A}/1", f"{B}/2"), True),
        ((f"{B}/0", f"{A}/1", f"{B}/2"), True),
        ((f"{A}/1", f"{B}/2", f"{A}/3"), True),  # once dropped, not restored
        ((f"{A}/1", f"{HTTP}/2"), True),
        ((f"{A}/1", f"{PORT}/2"), True),
    ],
)
def test_what_was_dropped_on_the_way_is_not_restored(via: tuple[str, ...], bare: bool) -> None:
    assert order(7, A, Link(1, f"{A}/x", 2, via), f"{A}/x", 3, None) == Fetch(7, f"{A}/x", 3, bare=bare)


@pytest.mark.parametrize(("url", "bare"), [(f"{A}/robots.txt", False), (f"{A}/other", True), (f"{B}/robots.txt", True)])
def test_a_robots_txt_is_bare_where_it_was_redirected(url: str, bare: bool) -> None:
    assert order(7, A, None, url, 1, 3) == Fetch(7, url, 1, follow=False, robots=True, bare=bare)


@pytest.mark.parametrize(("depth", "follow"), [(1, True), (2, False)])
def test_links_matter_above_the_depth_limit(depth: int, follow: bool) -> None:
    assert order(7, A, Link(1, f"{A}/x", depth), f"{A}/x", 1, 2).follow is follow
