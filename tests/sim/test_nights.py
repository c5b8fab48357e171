"""Re-crawls of a changing site over a few nights, see tests/simulated_nights.py for many."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.freshness import TUNED, Policy, mean_freshness
from tests.sim.nights import DOWN, SERVERS, play

SHORT = ("tags and dates", DOWN)


@pytest.mark.parametrize(
    "server", [pytest.param(one, marks=[] if one in SHORT else [pytest.mark.long]) for one in SERVERS]
)
def test_each_night_the_diff_is_that_of_the_oracle(server: str, tmp_path: Path) -> None:
    played = play(server, tmp_path / "crawl", pages=10, nights=6, revisit="adaptive", revisit_budget=4, mode="threads")
    assert played.wrong == []
    assert played.requests < 6 * 11


def test_dates_that_are_true_keep_a_copy_fresher_than_turns_at_equal_budget() -> None:
    web = TUNED["half 3/d, half 1/10 d"]
    turns, dates = (mean_freshness(web, 60, 0.05, one, nights=20, seeds=1) for one in (Policy.TURNS, Policy.DATES))
    assert dates > 1.1 * turns
