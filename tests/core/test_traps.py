"""What the ledger of a host refuses: patterns whose pages stop differing, and nothing of honest sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.messages import Budget, Link, Reason
from crawler.core.patterns import sketch_of
from crawler.core.rules import Rules
from crawler.core.traps import MOST, TOLD, Ledger

H = "http://h.test"
Text = Callable[[int], str]
Name = Callable[[int], str]


def product(n: int) -> str:
    return f"{H}/product/{n}"


def different(n: int) -> str:
    return "".join(chr(ord("g") + int(digit)) for digit in str(n))  # words that no digit is taken from


def numbered(n: int) -> str:
    return f"Number {n}"


def same(n: int) -> str:
    return "The same."


def play(
    ledger: Ledger, text: Text, pages: int, url: Name = product, late: int = 0, start: int = 0
) -> tuple[int, Reason | None]:
    """Ask for so many pages, whose answers land `late` requests later. How many were asked for before one was refused,
    and why that was."""
    open_: list[tuple[str, str, bool]] = []
    for n in range(start, start + pages):
        refusal = ledger.refuses(Link(n, url(n), 1))
        if refusal is not None:
            return n - start, refusal[0]
        open_.append((url(n), text(n), ledger.count(url(n))))
        if len(open_) > late:
            address, words, sketched = open_.pop(0)
            ledger.land(address, sketch_of(words) if sketched else None)
    return pages, None


# ---- patterns --------------------------------------------------------------------------------------------------------


def test_a_pattern_whose_pages_differ_may_be_as_large_as_it_likes() -> None:
    assert play(Ledger(Rules()), different, 20_000) == (20_000, None)


def test_the_same_page_under_ever_new_names_is_stopped_early() -> None:
    asked, why = play(Ledger(Rules()), same, 5000)
    assert (asked, why) == (300, Reason.REPEATED_PAGES)


def test_pages_that_differ_in_numbers_only_end_with_the_budget() -> None:
    asked, why = play(Ledger(Rules()), numbered, 5000)
    assert (asked, why) == (1000, Reason.REPEATED_PAGES)


def test_twelve_months_are_no_news() -> None:
    asked, why = play(Ledger(Rules()), lambda n: f"{different(n % 12)} of {n}", 5000)
    assert (asked, why) == (1000, Reason.REPEATED_PAGES)


def test_a_pattern_that_turns_into_a_trap_ends_with_its_next_budget() -> None:
    asked, why = play(Ledger(Rules()), lambda n: different(n) if n < 3100 else numbered(n), 9000)
    assert (asked, why) == (4000, Reason.REPEATED_PAGES)


@given(share=st.integers(3, 10), pages=st.integers(1500, 3000))
def test_pages_of_which_one_in_eight_or_fewer_is_a_copy_are_no_trap(share: int, pages: int) -> None:
    text: Text = lambda n: same(n) if n % share == 0 else different(n)  # noqa: E731
    assert play(Ledger(Rules()), text, pages) == (pages, None)


@given(late=st.integers(0, 400), text=st.sampled_from([same, numbered]))
def test_a_trap_overshoots_by_what_is_in_flight_at_most(late: int, text: Text) -> None:
    asked, why = play(Ledger(Rules()), text, 5000, late=late)
    assert why is Reason.REPEATED_PAGES
    assert asked <= 1000 + late


@given(budget=st.integers(400, 1500), text=st.sampled_from([same, numbered]))
def test_the_budget_is_a_setting(budget: int, text: Text) -> None:
    asked, why = play(Ledger(Rules(pattern_pages=budget)), text, 5000)
    assert why is Reason.REPEATED_PAGES
    assert asked <= budget
    assert play(Ledger(Rules(pattern_pages=10**9)), numbered, 3000) == (3000, None), "a very large number lifts it"


def test_pages_that_cannot_be_sketched_are_never_a_trap() -> None:
    ledger = Ledger(Rules())
    for n in range(3000):
        assert ledger.refuses(Link(n, product(n), 1)) is None
        ledger.count(product(n))
        ledger.land(product(n), None)


def test_a_trap_stops_its_own_pattern_only() -> None:
    ledger = Ledger(Rules())
    assert play(ledger, same, 5000)[1] is Reason.REPEATED_PAGES
    assert play(ledger, different, 2000, lambda n: f"{H}/news/{n}") == (2000, None)
    assert play(ledger, same, 1, lambda n: f"{H}/about") == (1, None)


# ---- shapes and hosts ------------------------------------------------------------------------------------------------


def test_a_host_has_a_budget() -> None:
    ledger = Ledger(Rules(max_host_pages=50))
    assert play(ledger, different, 100, lambda n: f"{H}/{different(n)}") == (50, Reason.HOST_LIMIT)


def test_shards_share_the_budgets() -> None:
    def asked(shards: int, text: Text, **limits: Any) -> int:
        ledger = Ledger(Rules(**limits))
        ledger.share(shards)
        return play(ledger, text, 5000)[0]

    assert [asked(shards, different, max_host_pages=120) for shards in (1, 2, 3, 500)] == [120, 60, 40, 1]
    assert [asked(shards, numbered) for shards in (1, 2, 16)] == [1000, 500, 500]


def test_seeds_may_have_any_shape() -> None:
    ledger, url = Ledger(Rules()), f"{H}/a/a/a"
    assert ledger.refuses(Link(1, url, 0)) is None
    assert ledger.refuses(Link(2, url, 1)) == (Reason.REPEATED_PATH, "'a' again and again in its path")


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_patterns_beyond_a_limit_are_forgotten_but_for_the_busy_ones() -> None:
    ledger = Ledger(Rules())
    play(ledger, same, 290)
    for n in range(4 * MOST):
        ledger.count(f"{H}/{different(n)}/1")
    assert len(list(ledger.untold(H))) <= MOST + 1
    assert len(ledger._accounts) <= MOST
    assert play(ledger, same, 100, start=290) == (10, Reason.REPEATED_PAGES)


@given(text=st.sampled_from([same, numbered]), lives=st.lists(st.integers(1, 400), max_size=12), kills=st.booleans())
def test_a_resumed_crawl_goes_on_with_its_budgets(text: Text, lives: list[int], kills: bool) -> None:
    told: dict[int, Budget] = {}
    total = 0
    for pages in [*lives, 5000]:
        ledger = Ledger(Rules())
        ledger.recall(tuple(told.values()))
        asked = 0
        for n in range(total, total + pages):
            if play(ledger, text, 1, start=n)[1] is not None:
                break
            asked += 1
            told |= {budget.pattern: budget for budget in ledger.due(H, product(n))}
        if not kills:
            told |= {budget.pattern: budget for budget in ledger.untold(H)}
        total += asked
    assert total <= 1000 + (TOLD * len(lives) if kills else 0)
    assert total >= 300


@pytest.mark.parametrize("url", [f"{H}/about", product(1)])
def test_the_frontier_is_told_of_many_pages_at_once_and_of_nothing_twice(url: str) -> None:
    ledger = Ledger(Rules())
    for _ in range(TOLD):
        assert list(ledger.due(H, url)) == []
        ledger.count(url)
    told = list(ledger.due(H, url))
    assert {budget.pages for budget in told} == {TOLD}
    assert len(told) == (1 if url.endswith("about") else 2)
    assert list(ledger.untold(H)) == list(ledger.due(H, url)) == []
