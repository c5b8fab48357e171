"""Re-crawls of a changing site over a few nights, see tests/simulated_nights.py for many."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.freshness import HELD_OUT, Policy, mean_freshness
from tests.sim.nights import DOWN, SERVERS, play

SHORT = ("tags and dates", DOWN)


@pytest.mark.parametrize(
    "server", [pytest.param(one, marks=[] if one in SHORT else [pytest.mark.long]) for one in SERVERS]
)
def test_each_night_the_diff_is_that_of_the_oracle(server: str, tmp_path: Path) -> None:
    played = play(server, tmp_path / "crawl", pages=10, nights=6, revisit="adaptive", revisit_budget=4, mode="threads")
    assert played.wrong == []
    assert played.requests < 6 * 11


def test_dates_that_are_true_keep_a_copy_fresher_than_visits_alone_and_those_than_turns() -> None:
    web = HELD_OUT["half 8/d, half 1/30 d"]
    turns, visits, dates = (
        mean_freshness(web, 100, 0.05, policy, nights=20, seeds=2)
        for policy in (Policy.TURNS, Policy.VISITS, Policy.DATES)
    )
    assert turns < visits < dates
