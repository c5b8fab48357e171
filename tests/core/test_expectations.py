"""Expectations of a run, and retries."""

from __future__ import annotations

import pytest

from crawler.service.core.expectations import LONGEST_WAIT, judged, retry_wait, unmet
from crawler.service.core.states import FINAL, RunEvent, RunReason, RunState

GOOD = {"ok": 90, "client_error": 10}
BAD = {"ok": 80, "timeout": 20, "robots": 50}


def test_without_expectations_none_is_unmet() -> None:
    assert unmet(0, {}, None) == ()
    assert unmet(0, BAD, 100) == ()


def test_least_pages() -> None:
    assert unmet(10, GOOD, None, min_pages=10) == ()
    assert unmet(1_009, GOOD, None, min_pages=1_010) == ("1,009 pages, at least 1,010 expected",)


def test_most_errors_are_a_share_of_what_was_asked_for() -> None:
    assert unmet(90, GOOD, None, max_error_share=0.0) == ()  # a 404 is an answer
    assert unmet(80, BAD, None, max_error_share=0.2) == ()  # what robots.txt forbids was not asked for
    assert unmet(80, BAD, None, max_error_share=0.19) == ("20 of 100 URLs ended in errors, at most 19.0% expected",)
    assert unmet(0, {}, None, max_error_share=0.0) == ()


def test_most_drop_is_against_the_run_before() -> None:
    assert unmet(80, GOOD, 100, max_drop=0.2) == ()
    assert unmet(79, GOOD, 100, max_drop=0.2) == ("79 pages after 100, 21.0% fewer, at most 20.0% expected",)
    assert unmet(0, GOOD, None, max_drop=0.2) == ()
    assert unmet(0, GOOD, 0, max_drop=0.2) == ()
    assert unmet(500, GOOD, 100, max_drop=0.0) == ()


def test_every_unmet_one_is_told() -> None:
    assert len(unmet(1, {"dns": 1}, 10, min_pages=2, max_error_share=0.5, max_drop=0.5)) == 3


@pytest.mark.parametrize("reason", [RunReason.COMPLETE, RunReason.INCOMPLETE])
def test_an_unmet_one_degrades_a_success_or_fails_it(reason: RunReason) -> None:
    end = RunEvent.COMPLETED, reason
    assert judged(*end, (), fail=True) == end
    assert judged(*end, ("few",), fail=False) == (RunEvent.COMPLETED, RunReason.DEGRADED)
    assert judged(*end, ("few",), fail=True) == (RunEvent.FAILED, RunReason.EXPECTATION)


def test_a_run_that_a_limit_ended_is_not_degraded_but_can_fail() -> None:
    end = RunEvent.LIMIT_REACHED, RunReason.LIMIT
    assert judged(*end, ("few",), fail=False) == end
    assert judged(*end, ("few",), fail=True) == (RunEvent.FAILED, RunReason.EXPECTATION)


def test_a_run_that_has_not_ended_by_itself_is_not_judged() -> None:
    for event in set(RunEvent) - {RunEvent.COMPLETED, RunEvent.LIMIT_REACHED}:
        assert judged(event, RunReason.KILLED, ("few",), fail=True) == (event, RunReason.KILLED)


def test_only_failed_runs_are_tried_again_and_by_default_none() -> None:
    assert retry_wait(RunState.FAILED, 3, 1) is None
    assert retry_wait(RunState.FAILED, 3, 1, attempts=1) == 60.0
    assert retry_wait(RunState.FAILED, 3, 2, attempts=1) is None
    for state in FINAL - {RunState.FAILED}:
        assert retry_wait(state, 0, 1, attempts=9) is None


def test_bad_input_is_not_tried_again() -> None:
    assert retry_wait(RunState.FAILED, 2, 1, attempts=9) is None
    assert retry_wait(RunState.FAILED, None, 1, attempts=9) == 60.0


def test_waits_double_up_to_a_cap() -> None:
    waits = [
        retry_wait(RunState.FAILED, 3, attempt, attempts=5_000, first_wait=1.0) for attempt in (1, 2, 3, 12, 5_000)
    ]
    assert waits == [1.0, 2.0, 4.0, 2048.0, LONGEST_WAIT]
