"""The conditions of fail_on: their syntax, and when they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.conditions import FIGURES, parse


def holds(text: str, *, ending: str = "complete", asked: int = 0, **figures: float) -> str | None:
    return parse(text).holds(ending, figures, asked)


@pytest.mark.parametrize("word", ["failed", "incomplete", "limit", "stopped"])
def test_an_ending_is_a_condition(word: str) -> None:
    assert holds(f" {word} ", ending=word) == f"the crawl ended as {word}"
    assert holds(word, ending="complete") is None


def test_a_figure_is_compared_as_a_number_or_as_a_share() -> None:
    assert holds("errors>5%", errors=12, asked=200) == "errors 12 of 200 URLs asked for (6 %)"
    assert holds("errors > 5 %", errors=10, asked=200) is None
    assert holds("errors>=5%", errors=10, asked=200)
    assert holds("errors>=0%", errors=0, asked=0), "a share of 0 URLs is 0"
    assert holds("pages<100", pages=99) == "pages 99"
    assert holds("pages<100", pages=100) is None
    assert holds("pages<=100", pages=100)
    assert holds("seconds>1.5", seconds=1234567.25) == "seconds 1,234,567.25"
    assert holds("connect>10", connect=11)


@pytest.mark.parametrize(
    "text", ["", "complete", "errors", "errors>", "errors>x", "errors=5", "5<errors", "errors>5%%", "errors>-1", "a b"]
)
def test_an_invalid_condition_is_refused_with_the_syntax(text: str) -> None:
    with pytest.raises(ValueError, match="is not a condition; write one of limit, stopped"):
        parse(text)


def test_an_unknown_figure_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match="'error'; did you mean 'errors'"):
        parse("error>5")
    with pytest.raises(ValueError, match="'zzzz' \\(there are: urls, pages"):
        parse("zzzz>5")


@given(st.sampled_from(FIGURES), st.sampled_from(["<", "<=", ">", ">="]), st.integers(0, 10**6), st.integers(0, 10**6))
def test_opposite_conditions_never_both_hold(name: str, sign: str, bound: int, figure: int) -> None:
    opposite = {"<": ">=", ">=": "<", ">": "<=", "<=": ">"}[sign]
    one = parse(f"{name}{sign}{bound}").holds("complete", {name: figure}, 0)
    other = parse(f"{name}{opposite}{bound}").holds("complete", {name: figure}, 0)
    assert (one is None) != (other is None)
