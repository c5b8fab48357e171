"""300 random crawls of several shards, and the events that must occur in them for the run to be meaningful."""

from __future__ import annotations

import pytest

from tests.sim.sharded import ShardedSimulation


@pytest.mark.parametrize("block", range(10))
def test_random_crawls_of_several_shards_keep_every_invariant(block: int) -> None:
    played = [ShardedSimulation(seed).run() for seed in range(block * 30, block * 30 + 30)]
    assert sum(one.steps for one in played) > 500


def test_the_crawls_cover_the_relevant_events() -> None:
    played = [ShardedSimulation(seed).run() for seed in range(300)]
    assert sum(one.kills for one in played) > 20
    assert sum(one.whole_kills for one in played) > 20
    assert sum(one.spread for one in played) > 20
    assert sum(one.gathered for one in played) > 10
    assert sum(one.passed for one in played) > 30
    assert {one.count for one in played} == {2, 3, 4}


def test_shards_keep_the_budget_of_a_domain_together() -> None:
    played = [ShardedSimulation(seed, domain_pages=4).run() for seed in range(200)]
    assert sum(one.refused_by_domain for one in played if one.spread) > 10
    assert sum(one.refused_by_domain for one in played) > 30


@pytest.mark.parametrize("block", range(4))
def test_limits_that_change_on_the_way_lose_no_url(block: int) -> None:
    played = [ShardedSimulation(seed, limited=True).run() for seed in range(block * 30, block * 30 + 30)]
    assert sum(one.limits for one in played) > 30
    assert sum(one.paused for one in played) > 5
    assert sum(one.gathered for one in played) > 3
