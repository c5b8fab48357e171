"""Crawls that are given more seeds when they have ended, or were killed: each seed is admitted once, and all invariants
hold."""

from __future__ import annotations

import pytest

from tests.sim.sharded import ShardedSimulation
from tests.sim.simulation import Simulation

LIMITS: list[tuple[int | None, ...]] = [(None,), (0,), (1, 2), (2, 0)]


@pytest.mark.parametrize("depths", LIMITS)
def test_seeds_are_added(depths: tuple[int | None, ...]) -> None:
    played = [Simulation(seed, depths=depths, grows=True).run() for seed in range(40)]
    assert sum(len(one.endings) > 1 for one in played) > 20
    assert sum(one.resumes for one in played) > 40


@pytest.mark.parametrize("depths", LIMITS)
def test_seeds_are_added_to_every_shard(depths: tuple[int | None, ...]) -> None:
    played = [ShardedSimulation(seed, depths, grows=True).run() for seed in range(25)]
    assert sum(one.whole_kills for one in played) > 25
