"""What a re-crawl adds to the decisions of a crawl: pages that a 304 confirmed, URLs that an earlier crawl knew."""

from __future__ import annotations

import pytest

from crawler.core.crawl import Crawl
from crawler.core.messages import Discovered, Fetched, Link
from crawler.core.reasons import ParseSkipped, Reason
from crawler.core.rules import Rules
from crawler.core.settling import NOT_MODIFIED, read_back, settled_from, was_not_modified
from crawler.core.urls.scope import Scope

PAGE = "http://a.test/page"


def test_urls_that_an_earlier_crawl_knew_keep_their_depth() -> None:
    rules = Rules(max_depth=2)
    crawl = Crawl(rules, Scope(rules, ["http://a.test/"]), 1)
    known = [Discovered(("http://a.test/",)), Discovered((PAGE,), 2), Discovered(("http://a.test/deep",), 3)]
    actions = crawl.step(known, room=0, now=0.0)
    assert [(link.url, link.depth) for link in actions.queued] == [("http://a.test/", 0), (PAGE, 2)]
    assert [link.url for link in actions.beyond] == ["http://a.test/deep"]


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        (Fetched(1, 200, not_modified=True), NOT_MODIFIED),
        (Fetched(1, 200, not_modified=True, cut=3), f"{NOT_MODIFIED}; links not taken: 3"),
        (Fetched(1, 200, not_modified=True, unread=ParseSkipped.MEMORY, cut=2), None),
        (Fetched(1, 200, cut=3), "links not taken: 3"),
        (Fetched(1, 301, location="http://a.test/b"), "http://a.test/b"),
    ],
)
def test_the_detail_of_a_row_states_that_a_304_confirmed_it(event: Fetched, detail: str | None) -> None:
    end = settled_from(Link(1, PAGE, 1, attempts=1, status=event.status), Reason.OK, event, "")
    assert end.not_modified == event.not_modified == was_not_modified("0/p", end.detail)
    assert detail is None or end.detail == detail
    assert read_back(end.status, end.detail) == (event.unread, event.cut)


def test_only_a_row_with_a_page_was_confirmed() -> None:
    assert not was_not_modified("", NOT_MODIFIED)
