"""300 random crawls, and what they must have met on the way for the run to mean anything."""

from __future__ import annotations

import pytest

from crawler.core.messages import Ending
from tests.sim.simulation import Simulation


@pytest.mark.parametrize("block", range(10))
def test_random_crawls_keep_every_invariant(block: int) -> None:
    played = [Simulation(seed).run() for seed in range(block * 30, block * 30 + 30)]
    assert sum(one.steps for one in played) > 500
    assert sum(one.lost_leases for one in played) > 3


def test_the_crawls_are_not_trivial() -> None:
    played = [Simulation(seed).run() for seed in range(200)]
    endings = {ending for one in played for ending in one.endings}
    assert endings == set(Ending)
    assert sum(one.resumes for one in played) > 5
    reasons = {row.reason.value for one in played for row in one.frontier.settled()}
    assert {
        "ok",
        "redirect",
        "redirect_loop",
        "redirect_limit",
        "redirect_invalid",
        "client_error",
        "server_error",
        "connect",
        "tls",
        "host_down",
        "held",
        "poison",
        "robots",
        "robots_unavailable",
        "blocked",
    } <= reasons


def test_the_budgets_of_large_sites_hold_whatever_is_killed() -> None:
    played = [Simulation(seed, large=True).run() for seed in range(40)]
    assert sum(one.resumes for one in played) > 5
    reasons = {row.reason.value for one in played for row in one.frontier.settled()}
    assert {"ok", "deep_path", "host_limit"} <= reasons
