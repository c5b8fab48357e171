"""The rates of a comparison, by the times of commits."""

from __future__ import annotations

import math

import pytest

from crawler.compare.stored_rate import stored_rates


def evenly(pages: int, per_second: float) -> dict[str, float]:
    """Pages committed at equal distances from second 100 on."""
    return {f"/{n}": 100 + n / per_second for n in range(pages)}


def test_an_even_crawl_has_its_rate() -> None:
    found = stored_rates(evenly(1000, 200.0), 100.0, 10, lambda url: 0.05)
    assert found.steady == pytest.approx(200)
    assert found.possible == pytest.approx(200), "Little's law: ten slots, 50 ms"
    assert found.whole == pytest.approx(200, rel=0.01)
    assert found.seconds == pytest.approx(5, rel=0.01)


def test_commits_of_many_pages_at_once_change_nothing() -> None:
    batched = {url: 100 + math.ceil((at - 100) * 10) / 10 for url, at in evenly(1000, 200.0).items()}
    assert stored_rates(batched, 100.0, 10, lambda url: 0.05).steady == pytest.approx(200, rel=0.03)


def test_an_engine_that_parses_everything_at_the_end_is_not_faster() -> None:
    late = {url: 109.0 + n / 1000 for n, url in enumerate(evenly(1000, 200.0))}
    found = stored_rates(late, 100.0, 10, lambda url: 0.05)
    assert found.whole < 110, "over the whole crawl it is slower"
    assert found.steady > 1.05 * found.possible, "its steady window is beyond what is possible, which voids it"


def test_the_halves_of_the_window_are_compared() -> None:
    def drift(stored: dict[str, float], busy: float = 0.05) -> float | None:
        return stored_rates(stored, 100.0, 10, lambda url: busy).drift

    even = evenly(1000, 200.0)
    slowing = {url: 100 + (at - 100) * (1 + (at - 100) / 10) for url, at in even.items()}
    assert drift(even) == pytest.approx(0, abs=0.01)
    assert drift(slowing) == pytest.approx(-0.3, abs=0.1)
    assert drift(slowing, busy=0.0) == pytest.approx(drift(slowing)), "a web that takes no time has the same"
    assert drift({url: 100 + math.ceil(at - 100) for url, at in even.items()}) is None, "five commits"


def test_pages_that_take_longer_are_no_drift() -> None:
    def busy(url: str) -> float:
        return 0.04 if int(url[1:]) < 500 else 0.08

    rising = evenly(500, 250.0) | {f"/{500 + n}": 102 + n / 125 for n in range(500)}
    assert stored_rates(rising, 100.0, 10, busy).drift == pytest.approx(0, abs=0.02)


def test_a_few_pages_have_no_steady_window() -> None:
    for stored in ({}, evenly(2, 10.0), dict.fromkeys("abcdef", 105.0)):
        found = stored_rates(stored, 100.0, 4, lambda url: 0.0)
        assert (found.steady, found.possible) == (0.0, math.inf)
