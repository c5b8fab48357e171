"""300 random crawls, and the events that must occur in them for the run to be meaningful."""

from __future__ import annotations

import pytest

from crawler.core.reasons import Ending
from crawler.core.reopening import MISSED
from crawler.metrics.counters import Tally
from crawler.storage.frontier.reopened import as_settled
from tests.sim.simulation import Simulation


@pytest.mark.parametrize("block", range(10))
def test_random_crawls_keep_every_invariant(block: int) -> None:
    played = [Simulation(seed).run() for seed in range(block * 30, block * 30 + 30)]
    assert sum(one.steps for one in played) > 500
    assert sum(one.lost_leases for one in played) > 3


def test_the_crawls_cover_the_relevant_events() -> None:
    played = [Simulation(seed).run() for seed in range(200)]
    endings = {ending for one in played for ending in one.endings}
    assert endings == {Ending.COMPLETE, Ending.LIMIT, Ending.STOPPED}
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
    played = [Simulation(seed, large=True).run() for seed in range(20)]
    assert sum(one.resumes for one in played) > 5
    reasons = {row.reason.value for one in played for row in one.frontier.settled()}
    assert {"ok", "deep_path", "host_limit"} <= reasons


SUMS_OF_ROWS = ["settled", "urls", "pages", "bytes", "truncated", "unread", "seeds_answered", "statuses", "reasons"]


def test_reopening_reverts_exactly_the_selected_rows() -> None:
    reopened = 0
    for seed in range(60):
        frontier = Simulation(seed).run().frontier
        before = {row.id: row for row in frontier.settled()}
        found = frontier.reopen(MISSED)
        after = {row.id: row for row in frontier.settled()}
        assert after == {key: row for key, row in before.items() if key not in found.ids}
        counted, kept = Tally(), frontier.tally()
        counted.add(kept.queued, map(as_settled, after.values()), kept.retries, kept.too_deep, 0, ())
        for name in (
            "settled",
            "urls",
            "pages",
            "bytes",
            "truncated",
            "unread",
            "seeds_answered",
            "statuses",
            "reasons",
        ):
            assert getattr(counted, name) == getattr(kept, name), (seed, name)
        assert counted.digest == kept.digest and set(found.ids) <= {link.id for link in frontier.owed()}
        reopened += len(found.ids)
    assert reopened > 100
