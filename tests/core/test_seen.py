"""The memory of the URLs that a crawl has admitted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.urls import seen
from crawler.core.urls.seen import Seen, mark, marks


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "FIRST", 3)
    monkeypatch.setattr(seen, "RECENT", 4)


def page(number: int) -> str:
    return f"http://a.test/{number}"


@given(st.lists(st.integers(0, 40)), st.integers(0, 30))
def test_while_complete_it_knows_exactly_the_urls_added(numbers: list[int], limit: int) -> None:
    one, known = Seen(7, limit), set()
    for number in numbers:
        if one.complete:
            assert (page(number) in one) == (number in known)
        if page(number) not in one:
            one.add(page(number))
            known.add(number)
        assert number in known and page(number) in one
    assert one.complete or len(known) > limit


def test_beyond_the_limit_it_drops_the_least_recently_used_and_reports_that() -> None:
    one = Seen(7, limit=10)
    for number in range(10 + 2 * 4):
        one.add(page(number))
    assert one.complete
    one.add(page(18))
    assert not one.complete
    assert [number for number in range(19) if page(number) not in one] == [10, 11, 12, 13]


def test_it_restores_the_marks_of_an_earlier_run() -> None:
    one = Seen(7, limit=100)
    one.load(marks(map(page, range(20)), 7))
    assert one.complete
    assert [number for number in range(30) if page(number) in one] == list(range(20))


@pytest.mark.parametrize("limit", [0, 3, 100])
def test_the_urls_of_a_page_are_parted_into_new_and_known_in_their_order(limit: int) -> None:
    one = Seen(7, limit)
    for number in (1, 2, 3, 4):
        one.add(page(number))
    assert one.partition([*map(page, (4, 9, 1, 8))]) == ([page(9), page(8)], [page(4), page(1)])
    assert one.partition([*map(page, (3, 2))]) == ([], [page(3), page(2)])
    assert one.partition([]) == ([], [])


def test_without_the_marks_of_an_earlier_run_it_is_a_cache_of_recent_lookups() -> None:
    one = Seen(7, limit=100)
    one.load(None)
    one.add(page(1))
    assert not one.complete
    assert (page(1) in one, page(2) in one) == (True, False)


def test_marks_are_packed_in_eight_bytes_each() -> None:
    assert len(marks([page(1), page(2)], 7)) == 16
    assert marks([page(1)], 7) == mark(page(1), 7).to_bytes(8, "little")
