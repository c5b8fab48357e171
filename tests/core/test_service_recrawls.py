"""Which generation of its directory a run of the service works on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.service.core.recrawls import EarlierRun, generation_of
from crawler.service.core.states import FINAL, RunReason, RunState

DONE, LIMITED, FAILED, CANCELLED = RunState.SUCCEEDED, RunState.LIMITED, RunState.FAILED, RunState.CANCELLED


def run(generation: int, state: RunState = DONE, reason: RunReason | None = None, at: float = 0.0) -> EarlierRun:
    return EarlierRun(generation, at, state, reason)


def test_the_first_run_of_a_directory_makes_generation_0() -> None:
    assert generation_of(None, [], exists=False) == 0
    assert generation_of(None, [], exists=True) == 0


@pytest.mark.parametrize(
    ("before", "following"),
    [
        (run(0), 1),
        (run(4, LIMITED, RunReason.LIMIT), 5),
        (run(4, FAILED, RunReason.NOTHING_FETCHED), 5),
        (run(4, FAILED, RunReason.FAIL_ON), 5),
        (run(4, FAILED, RunReason.EXPECTATION), 5),
        (run(4, FAILED, RunReason.EXIT_CODE), 4),
        (run(4, FAILED, RunReason.CRASHED), 4),
        (run(4, CANCELLED, RunReason.USER), 4),
    ],
)
def test_a_run_follows_one_that_came_to_its_end_and_goes_on_with_one_that_did_not(
    before: EarlierRun, following: int
) -> None:
    assert generation_of(None, [run(0), before], exists=True) == following


def test_of_several_runs_on_the_last_generation_the_last_counts() -> None:
    cancelled, done = run(2, CANCELLED, at=10.0), run(2, DONE, at=20.0)
    assert generation_of(None, [done, run(1, at=30.0), cancelled], exists=True) == 3


def test_a_run_that_was_begun_and_a_retry_keep_their_generation() -> None:
    assert generation_of(2, [run(0), run(1)], exists=True) == 2
    assert generation_of(2, [run(1), run(2, FAILED, RunReason.CRASHED)], exists=True) == 2
    assert generation_of(2, [run(1), run(2)], exists=True) == 2
    assert generation_of(0, [], exists=True) == 0


def test_a_retry_after_a_later_generation_is_a_new_run() -> None:
    assert generation_of(2, [run(2, FAILED), run(3)], exists=True) == 4
    assert generation_of(2, [run(2, FAILED), run(3, CANCELLED)], exists=True) == 3


def test_without_a_crawl_it_begins_anew() -> None:
    assert generation_of(7, [run(6)], exists=False) == 0


earlier_runs = st.lists(
    st.builds(EarlierRun, st.integers(0, 5), st.floats(0, 9), st.sampled_from(sorted(FINAL)), st.none()), max_size=6
)


@given(st.one_of(st.none(), st.integers(0, 6)), earlier_runs)
def test_no_generation_is_left_out_or_made_again(own: int | None, earlier: list[EarlierRun]) -> None:
    found = generation_of(own, earlier, exists=True)
    last = max((one.generation for one in earlier), default=0)
    assert found >= last
    assert found <= last + 1 or found == own
    assert generation_of(found, earlier, exists=True) == found
