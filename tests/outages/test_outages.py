"""A small sample; the long one is `python -m tests.outages`."""

from __future__ import annotations

from collections import Counter
from math import inf
from pathlib import Path

import pytest

from tests.outages.plan import KINDS, LONGEST, PATIENCE, plan
from tests.outages.trial import run

SAMPLE = range(1000, 1012)


def test_plans_are_a_function_of_their_number_and_cover_all_faults() -> None:
    assert plan(7) == plan(7) != plan(8)
    plans = [plan(seed) for seed in range(500)]
    met = Counter((one.mode, window.kind) for one in plans for windows in one.windows.values() for window in windows)
    assert len(met) == 4 * len(KINDS) and min(met.values()) >= 10
    assert 100 < sum(not one.heals for one in plans) < 250
    for one in plans:
        for windows in one.windows.values():
            ended = [window.end for window in windows if window.end < inf]
            assert max(ended, default=0) - windows[0].start <= LONGEST < PATIENCE


@pytest.mark.parametrize("seed", range(4))
def test_without_faults_every_mode_finds_what_the_oracle_knows(seed: int, tmp_path: Path) -> None:
    result = run(plan(seed)._replace(windows={}), tmp_path)
    assert (result.missed, result.resumes, result.most_contacts) == (0, 0, 0)


@pytest.mark.faults
@pytest.mark.parametrize("seed", SAMPLE)
def test_no_url_is_missed_silently_while_hosts_are_away(seed: int, tmp_path: Path) -> None:
    result = run(plan(seed), tmp_path)  # it checks all invariants
    assert result.resumes > 0 or result.missed == 0, "no missed URL was fetched by a resume"
