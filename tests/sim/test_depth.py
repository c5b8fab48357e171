"""Crawls with a depth limit that changes from run to run: URLs beyond it are counted exactly, whatever was killed."""

from __future__ import annotations

import pytest

from tests.sim.sharded import ShardedSimulation
from tests.sim.simulation import Simulation

LIMITS: list[tuple[int | None, ...]] = [(0,), (1,), (2,), (3,), (4,), (1, 2, 3), (2, 0, 1), (0, None)]


@pytest.mark.parametrize("depths", LIMITS)
def test_urls_beyond_the_limit_are_counted_once(depths: tuple[int | None, ...]) -> None:
    played = [Simulation(seed, depths=depths).run() for seed in range(100)]
    counted = sum(one.frontier.tally().too_deep for one in played)
    assert counted > 0 or None in depths
    assert sum(one.resumes for one in played) > 5


@pytest.mark.parametrize("depths", LIMITS)
def test_shards_together_count_urls_beyond_the_limit_once(depths: tuple[int | None, ...]) -> None:
    played = [ShardedSimulation(seed, depths).run() for seed in range(60)]
    assert sum(one.beyond for one in played) > 0 or None in depths
    assert sum(one.kills + one.whole_kills for one in played) > 5
