"""A small set of kills; the long one is `python -m tests.live.kills`."""

from __future__ import annotations

import pytest

import variants
from tests.live.kills import Campaign, strike_group, strike_parent, strike_stop, strike_worker

HOSTS, PAGES, CONCURRENCY = 13, 400, 16
LIFE = (0.6, 1.6)
AT_WORK = (3.5, 4.5)  # seconds after which every shard has sent a message; until then it may be silent for a minute


def campaign(*modes: str, seed: int = 1) -> Campaign:
    return Campaign(list(modes), HOSTS, PAGES, CONCURRENCY, seed)


@pytest.mark.parametrize("mode", variants.names())
def test_kill_9_of_the_group_loses_nothing_and_repeats_little(mode: str) -> None:
    report = campaign(mode).run(3, strike_group, LIFE)
    assert report.kills == 3
    assert report.most_repeated_by_one_kill <= CONCURRENCY + 64


def test_kill_9_of_the_parent_leaves_no_orphan_and_any_mode_resumes() -> None:
    report = campaign("processes", "async", "threads", seed=2).run(3, strike_parent, LIFE)
    assert report.kills == 3
    assert report.slowest_death < 5


def test_the_crawl_survives_kill_9_of_a_pool_worker() -> None:
    report = campaign("processes", seed=3).run(2, strike_worker, LIFE)
    assert report.kills == 2
    assert report.slowest_return < 5


def test_the_crawl_survives_kill_9_of_one_shard() -> None:
    report = campaign("prefork", seed=5).run(3, strike_worker, LIFE)
    assert report.kills == 3
    assert report.slowest_return < 5


def test_kill_9_of_the_arbiter_leaves_no_orphan_and_any_mode_resumes() -> None:
    report = campaign("prefork:2", "async", "prefork:3", "prefork:4", seed=6).run(4, strike_parent, LIFE)
    assert report.kills == 4
    assert report.slowest_death < 5


@pytest.mark.parametrize("mode", ["processes", "prefork"])
def test_a_stopped_worker_is_replaced_when_its_leases_expire(mode: str) -> None:
    report = campaign(mode, seed=4).run(1, strike_stop, AT_WORK)
    assert report.kills == 1
    assert report.slowest_return < 15, "a lease lasts 10 s in the demo profile"
