"""The states of a run: which changes there are, and what the end of a child means."""

from __future__ import annotations

import itertools

import pytest

from crawler.core.reasons import Ending
from crawler.service.core.states import (
    ACTIVE,
    FINAL,
    MOST_CRASHES,
    TABLE,
    WITH_CHILD,
    ChildEnd,
    RunEvent,
    RunReason,
    RunState,
    StateChange,
    TransitionRefused,
    event_of,
    transition,
)

QUEUED, STARTING, RUNNING = RunState.QUEUED, RunState.STARTING, RunState.RUNNING
PAUSED, STOPPING = RunState.PAUSED, RunState.STOPPING
USER, DISK = RunReason.USER, RunReason.DISK


@pytest.mark.parametrize(("state", "event"), [*itertools.product(sorted(FINAL), RunEvent)])
def test_a_final_state_is_never_left(state: RunState, event: RunEvent) -> None:
    refused = transition(state, event)
    assert refused == TransitionRefused(state, event)
    assert str(refused) == f"a run that is {state} cannot {event}; it has ended; retry starts another run"


def test_the_states_are_those_of_the_api() -> None:
    assert {state.value for state in ACTIVE} == {"queued", "starting", "running", "paused", "stopping"}
    assert {state.value for state in FINAL} == {
        *("succeeded", "limited", "failed", "cancelled", "interrupted", "skipped"),
    }
    assert {STARTING, RUNNING, PAUSED, STOPPING} == WITH_CHILD


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_every_active_state_can_be_reached_and_leads_to_an_end(state: RunState) -> None:
    def reached(start: RunState) -> set[RunState]:
        found = {start}
        while more := {after for one in found for after in TABLE.get(one, {}).values()} - found:
            found |= more
        return found

    assert state in reached(QUEUED)
    assert {RunState.CANCELLED, RunState.INTERRUPTED} <= reached(state)


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_a_service_that_starts_has_an_answer_for_every_active_run(state: RunState) -> None:
    assert isinstance(transition(state, RunEvent.SERVICE_STARTED), StateChange)


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_a_lost_directory_interrupts_any_run(state: RunState) -> None:
    assert transition(state, RunEvent.LOST) == (RunState.INTERRUPTED, RunReason.LOST)


def test_an_undisturbed_run() -> None:
    assert transition(QUEUED, RunEvent.START) == (STARTING, None)
    assert transition(STARTING, RunEvent.STARTED) == (RUNNING, None)
    assert transition(RUNNING, RunEvent.COMPLETED) == (RunState.SUCCEEDED, RunReason.COMPLETE)
    assert transition(RUNNING, RunEvent.COMPLETED, RunReason.INCOMPLETE) == (
        RunState.SUCCEEDED,
        RunReason.INCOMPLETE,
    )
    assert transition(RUNNING, RunEvent.LIMIT_REACHED) == (RunState.LIMITED, RunReason.LIMIT)
    assert transition(RUNNING, RunEvent.FAILED, RunReason.FAIL_ON) == (RunState.FAILED, RunReason.FAIL_ON)


def test_pause_and_resume() -> None:
    assert transition(RUNNING, RunEvent.PAUSE) == (PAUSED, USER)
    assert transition(PAUSED, RunEvent.RESUME, before=USER) == (RUNNING, None)
    assert transition(PAUSED, RunEvent.RESUME, before=USER, child=False) == (QUEUED, None)


def test_only_a_pause_for_the_disk_ends_when_there_is_room() -> None:
    assert transition(RUNNING, RunEvent.DISK_FULL) == (PAUSED, DISK)
    assert transition(PAUSED, RunEvent.DISK_FREE, before=DISK) == (RUNNING, None)
    assert transition(PAUSED, RunEvent.DISK_FREE, before=DISK, child=False) == (QUEUED, None)
    assert isinstance(transition(PAUSED, RunEvent.DISK_FREE, before=USER), TransitionRefused)


def test_a_person_may_take_over_a_pause_for_the_disk_and_not_the_other_way_round() -> None:
    assert transition(PAUSED, RunEvent.PAUSE, before=DISK) == (PAUSED, USER)
    assert isinstance(transition(PAUSED, RunEvent.DISK_FULL, before=USER), TransitionRefused)


@pytest.mark.parametrize("event", [RunEvent.STOP, RunEvent.CANCEL])
def test_stopping_a_run_without_a_child_ends_it_at_once(event: RunEvent) -> None:
    assert transition(QUEUED, event) == (RunState.CANCELLED, USER)
    assert transition(PAUSED, event, before=DISK, child=False) == (RunState.CANCELLED, USER)


@pytest.mark.parametrize("state", [STARTING, RUNNING, PAUSED])
@pytest.mark.parametrize("event", [RunEvent.STOP, RunEvent.CANCEL])
def test_stopping_a_run_with_a_child_waits_for_it(state: RunState, event: RunEvent) -> None:
    assert transition(state, event, RunReason.OVERLAP) == (STOPPING, RunReason.OVERLAP)


@pytest.mark.parametrize("event", [RunEvent.DRAINED, RunEvent.DIED, RunEvent.SERVICE_STARTED])
def test_a_stopped_run_is_cancelled_for_the_reason_of_the_stop(event: RunEvent) -> None:
    before = RunReason.OVERLAP
    assert transition(STOPPING, event, RunReason.KILLED, before=before) == (RunState.CANCELLED, before)
    assert transition(STOPPING, event, before=before, crashes=MOST_CRASHES) == (RunState.CANCELLED, before)


def test_a_run_that_completes_while_it_is_stopped_has_succeeded() -> None:
    assert transition(STOPPING, RunEvent.COMPLETED, before=USER) == (RunState.SUCCEEDED, RunReason.COMPLETE)


def test_a_stop_can_become_a_cancel_and_not_the_other_way_round() -> None:
    assert transition(STOPPING, RunEvent.CANCEL, before=RunReason.OVERLAP) == (STOPPING, USER)
    assert isinstance(transition(STOPPING, RunEvent.STOP, before=USER), TransitionRefused)
    assert transition(STOPPING, RunEvent.STARTED, before=USER) == (STOPPING, USER)


@pytest.mark.parametrize("state", [STARTING, RUNNING])
@pytest.mark.parametrize("event", [RunEvent.DIED, RunEvent.DRAINED])
def test_a_child_that_ends_unasked_is_replaced_until_that_is_hopeless(state: RunState, event: RunEvent) -> None:
    assert transition(state, event, RunReason.KILLED, crashes=MOST_CRASHES - 1) == (QUEUED, RunReason.KILLED)
    assert transition(state, event, RunReason.KILLED, crashes=MOST_CRASHES) == (RunState.FAILED, RunReason.KILLED)


@pytest.mark.parametrize("event", [RunEvent.DIED, RunEvent.DRAINED, RunEvent.SERVICE_STARTED])
def test_a_paused_run_stays_paused_without_its_child(event: RunEvent) -> None:
    assert transition(PAUSED, event, RunReason.KILLED, before=USER, crashes=MOST_CRASHES) == (PAUSED, USER)


def test_what_was_running_is_queued_when_the_service_starts() -> None:
    assert transition(RUNNING, RunEvent.SERVICE_STARTED) == (QUEUED, RunReason.RESTART)
    assert transition(STARTING, RunEvent.SERVICE_STARTED) == (QUEUED, RunReason.RESTART)
    assert transition(QUEUED, RunEvent.SERVICE_STARTED, before=RunReason.KILLED) == (QUEUED, RunReason.KILLED)


def test_a_queued_run_that_is_not_wanted_any_more_is_skipped() -> None:
    assert transition(QUEUED, RunEvent.SKIP) == (RunState.SKIPPED, RunReason.OVERLAP)


def test_a_refusal_says_what_is_possible() -> None:
    assert str(transition(QUEUED, RunEvent.PAUSE)) == "a run that is queued cannot pause; possible: stop, cancel"
    assert str(transition(RUNNING, RunEvent.RESUME)).endswith("cannot resume; possible: pause, stop, cancel")


@pytest.mark.parametrize(
    ("ending", "event", "reason"),
    [
        (Ending.COMPLETE, RunEvent.COMPLETED, RunReason.COMPLETE),
        (Ending.INCOMPLETE, RunEvent.COMPLETED, RunReason.INCOMPLETE),
        (Ending.LIMIT, RunEvent.LIMIT_REACHED, RunReason.LIMIT),
        (Ending.FAILED, RunEvent.FAILED, RunReason.NOTHING_FETCHED),
        (Ending.STOPPED, RunEvent.DRAINED, RunReason.DRAINED),
    ],
)
def test_what_a_crawl_says_of_its_end_counts(ending: Ending, event: RunEvent, reason: RunReason) -> None:
    assert event_of(ChildEnd(ending, 0)) == (event, reason)
    assert event_of(ChildEnd(ending, None, 9)) == (event, reason)


def test_a_condition_of_fail_on_fails_a_run_that_ended_and_none_that_goes_on() -> None:
    assert event_of(ChildEnd(Ending.COMPLETE, 4, fail_on=True)) == (RunEvent.FAILED, RunReason.FAIL_ON)
    assert event_of(ChildEnd(Ending.STOPPED, 4, fail_on=True)) == (RunEvent.DRAINED, RunReason.DRAINED)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 255])
def test_a_child_that_ends_without_a_word_has_failed(code: int) -> None:
    assert event_of(ChildEnd(None, code)) == (RunEvent.FAILED, RunReason.EXIT_CODE)


@pytest.mark.parametrize("code", [129, 130, 143])
def test_the_exit_codes_of_an_interrupted_crawl_tell_that_it_drained(code: int) -> None:
    assert event_of(ChildEnd(None, code)) == (RunEvent.DRAINED, RunReason.DRAINED)


@pytest.mark.parametrize(("signal", "reason"), [(9, "killed"), (15, "killed"), (11, "crashed"), (6, "crashed")])
def test_a_signal_is_told_from_outside_or_of_its_own_making(signal: int, reason: str) -> None:
    assert event_of(ChildEnd(signal=signal)) == (RunEvent.DIED, RunReason(reason))
