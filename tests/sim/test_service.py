"""The service on a virtual clock: schedules over years, runs through every disturbance. All of it at its full size:
`python -m tests.simulated_service`."""

from __future__ import annotations

from collections import Counter

import pytest

from crawler.service.core.states import RunState
from tests.sim.run_queue import RunQueue
from tests.sim.timetable import DAY, Timetable


@pytest.mark.parametrize("seed", range(3))
def test_no_tick_is_lost_or_decided_twice_in_years(seed: int) -> None:
    counts = Timetable(seed, schedules=12, years=1.5, frequent=0.0).run()
    assert counts["run"] > 500
    assert counts["overlap"] and counts["coalesced"] and counts["catchup"]


@pytest.mark.parametrize("seed", range(3))
def test_nor_of_frequent_ticks_under_constant_disturbance(seed: int) -> None:
    counts = Timetable(1000 + seed, schedules=3, years=0.12, calm=DAY / 3, frequent=1.0).run()
    assert counts["run"] > 100
    assert counts["ahead"] and counts["back"] and counts["outage"]


def test_an_undisturbed_timetable_skips_only_for_overlap_and_pauses() -> None:
    counts = Timetable(7, schedules=10, years=1, calm=10_000 * DAY).run()
    assert counts["run"] > 500


def test_runs_end_and_never_meet_at_a_host_whatever_happens() -> None:
    counts: Counter[str] = Counter()
    for seed in range(60):
        counts += RunQueue(seed).run(250)
    assert all(counts[state] for state in RunState if state is not RunState.QUEUED), counts
    assert counts["restarts"] > 100
