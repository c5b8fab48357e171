"""Which crawl directories are removed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawler.service.core.retention import Removal, RemovalCause, RunOnDisk, to_remove
from crawler.service.core.states import FINAL, RunState

DAY = 86_400.0
GOOD, BAD, RUNNING = RunState.SUCCEEDED, RunState.FAILED, RunState.RUNNING


def run(number: int, state: RunState, *, days: float | None, job: str = "job", directory: str = "") -> RunOnDisk:
    """A run of 100 bytes that ended on that day."""
    name = f"run_{number}"
    return RunOnDisk(name, job, directory or name, state, None if days is None else days * DAY, 100)


def removed(runs: list[RunOnDisk], now_days: float = 100.0, **bounds: float | int | None) -> list[tuple[str, str]]:
    return [(one.directory, one.cause.value) for one in to_remove(runs, now_days * DAY, **bounds)]  # type: ignore[arg-type]


def test_without_bounds_everything_stays() -> None:
    assert removed([run(1, BAD, days=0), run(2, GOOD, days=1)]) == []


def test_by_age() -> None:
    runs = [run(1, BAD, days=10), run(2, GOOD, days=20), run(3, GOOD, days=89), run(4, BAD, days=91)]
    assert removed(runs, keep_days=10) == [("run_1", "age"), ("run_2", "age")]


def test_by_count_of_each_job() -> None:
    runs = [run(number, GOOD, days=number) for number in range(4)]
    other = [run(9, GOOD, days=0, job="other")]
    assert removed(runs + other, keep_runs=2) == [("run_0", "count"), ("run_1", "count")]


def test_by_bytes_of_all_jobs_oldest_first() -> None:
    runs = [run(number, BAD, days=number, job=f"job {number % 2}") for number in range(5)]
    assert removed(runs, keep_bytes=300) == [("run_0", "bytes"), ("run_1", "bytes")]
    assert removed(runs, keep_bytes=299) == [("run_0", "bytes"), ("run_1", "bytes"), ("run_2", "bytes")]


def test_what_goes_for_its_age_makes_room_for_the_rest() -> None:
    runs = [run(number, BAD, days=number) for number in range(5)]
    assert removed(runs, now_days=3.5, keep_days=2, keep_bytes=300) == [("run_0", "age"), ("run_1", "age")]


def test_the_last_success_of_each_job_stays_whatever_the_bounds() -> None:
    runs = [run(1, GOOD, days=1), run(2, GOOD, days=2), run(3, BAD, days=3), run(4, GOOD, days=0, job="other")]
    assert removed(runs, keep_runs=0, keep_days=0, keep_bytes=0) == [("run_1", "age"), ("run_3", "age")]


def test_a_directory_in_use_stays() -> None:
    runs = [run(1, BAD, days=1, directory="shared"), run(2, RUNNING, days=None, directory="shared")]
    assert removed(runs, keep_runs=0, keep_days=0, keep_bytes=0) == []


def test_a_directory_is_as_old_as_its_last_run_and_goes_as_a_whole() -> None:
    runs = [run(1, BAD, days=1, directory="shared"), run(2, BAD, days=80, directory="shared"), run(3, BAD, days=2)]
    assert removed(runs, keep_days=50) == [("run_3", "age")]
    assert to_remove(runs, 100 * DAY, keep_bytes=0)[-1] == Removal("shared", ("run_1", "run_2"), RemovalCause.BYTES)
    assert removed(runs, keep_bytes=100) == [("run_3", "bytes")]  # the shared one has 100 bytes, not 200


def test_a_directory_whose_last_success_is_old_stays_for_it() -> None:
    runs = [run(1, GOOD, days=1, directory="shared"), run(2, BAD, days=2, directory="shared")]
    assert removed(runs, keep_days=1) == []


def test_a_job_that_crawls_again_keeps_the_directory_of_its_last_run() -> None:
    def again(number: int, state: RunState, days: float, directory: str) -> RunOnDisk:
        return run(number, state, days=days, directory=directory)._replace(recrawl=True)

    runs = [again(1, BAD, 1, "old"), again(2, BAD, 2, "mine"), again(3, BAD, 3, "mine"), run(4, BAD, days=4)]
    bounds: dict[str, float] = {"keep_days": 1, "keep_bytes": 0}
    assert {one for one, _ in removed(runs, **bounds)} == {"old", "run_4"}
    lost = again(5, RunState.INTERRUPTED, 5, "lost")
    assert {one for one, _ in removed([*runs, lost], **bounds)} == {"old", "run_4", "lost"}


ends = st.one_of(st.none(), st.floats(0, 100 * DAY))
runs_on_disk = st.lists(
    st.builds(
        lambda number, job, directory, state, ended_at, size: RunOnDisk(
            f"run_{number}", job, f"{job} {directory}", state if ended_at is not None else RUNNING, ended_at, size
        ),
        st.integers(0, 10_000),
        st.sampled_from(["a", "b"]),
        st.integers(0, 6),
        st.sampled_from(sorted(FINAL)),
        ends,
        st.integers(0, 1000),
    ),
    unique_by=lambda one: one.run,
)


@given(runs_on_disk, st.integers(0, 3), st.floats(0, 100), st.integers(0, 3000))
def test_nothing_that_is_protected_goes_and_nothing_else_is_beyond_a_bound_afterwards(
    runs: list[RunOnDisk], keep_runs: int, keep_days: float, keep_bytes: int
) -> None:
    now = 100 * DAY
    gone = {
        one.directory for one in to_remove(runs, now, keep_runs=keep_runs, keep_days=keep_days, keep_bytes=keep_bytes)
    }
    in_use = {one.directory for one in runs if one.ended_at is None}
    assert not gone & in_use
    successes = [one for one in runs if one.state is GOOD]
    last_good = {
        max((one for one in successes if one.job == job), key=lambda one: (one.ended_at, one.run)).directory
        for job in {one.job for one in successes}
    }
    assert not gone & last_good
    left = [one for one in runs if one.directory not in gone]
    sizes: dict[str, int] = {}
    for one in left:
        sizes[one.directory] = max(one.bytes, sizes.get(one.directory, 0))
    if set(sizes) - in_use - last_good:
        assert sum(sizes.values()) <= keep_bytes
    for directory in set(sizes) - in_use - last_good:
        assert max(one.ended_at or 0.0 for one in left if one.directory == directory) >= now - keep_days * DAY
