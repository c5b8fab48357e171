"""Runs of a service, with real processes on a web on loopback: from the queue to the end, whatever disturbs them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from time import time

import pytest
from msgspec.structs import replace

from crawler.service import supervisor
from crawler.service.core.states import RunReason, RunState
from crawler.service.errors import Conflict, Invalid, NotFound, QueueFull
from crawler.service.records import Expect, Retry, RunLimits, ScheduleSpec
from crawler.service.run_file import read_run_file, run_file
from crawler.testweb.flat import FlatWeb
from crawler.testweb.log import read_log
from crawler.testweb.oracle import crawl_digest, expected
from crawler.testweb.process import StartedWeb, start_web
from tests.service.open_service import ended, in_state, job, pages_of, serving, settings, until

PAGES = 60
WHOLE = crawl_digest(expected(FlatWeb(PAGES)))
SLOW = {"per_host": 1, "delay": 0.05}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def web() -> Iterator[StartedWeb]:
    with start_web(flat=PAGES) as web:
        yield web


async def test_a_run_goes_from_the_queue_to_success_and_each_state_has_its_time(
    web: StartedWeb, tmp_path: Path
) -> None:
    async with serving(tmp_path) as service:
        added = await service.add_job(job(web))
        run = await ended(service, await service.start(added.name))
        assert (run.state, run.reason, run.exit_code) == (RunState.SUCCEEDED, RunReason.COMPLETE, 0)
        assert run.summary is not None and run.summary["digest"] == WHOLE
        assert run.summary["out"] == run.directory and not Path(run.directory).is_absolute()
        changes = await service.transitions(run.id)
        wanted = [RunState.QUEUED, RunState.STARTING, RunState.RUNNING, RunState.SUCCEEDED]
        assert [change.state for change in changes] == wanted
        assert [change.at for change in changes] == sorted(change.at for change in changes)
        assert service.directory(run.id).is_dir() and service.log_file(run.id).parent == tmp_path / "runs"
        kept = read_run_file(run_file(tmp_path, run.id))
        assert kept is not None and kept.run == run
        assert (await service.overview()).troubles == []


async def test_a_paused_run_fetches_nothing_and_goes_on_under_other_limits(web: StartedWeb, tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.add_job(job(web, keys=SLOW))
        run = await in_state(service, await service.start("flat"), RunState.RUNNING)
        await pages_of(service, run)
        assert (await service.pause(run.id)).state is RunState.PAUSED
        quiet = await until(lambda: _paused(service, run.id))
        await until(lambda: len(_history(service, run.id)) > quiet[0] + 1)
        assert _history(service, run.id)[-1].urls == quiet[1], "a fetch in a pause"
        await service.set_limits(run.id, RunLimits(concurrency=1))
        assert (await service.resume(run.id)).state is RunState.RUNNING
        run = await ended(service, run)
        assert run.summary is not None and run.summary["digest"] == WHOLE
        assert run.summary["pauses"] == {"user": 1}
        with pytest.raises(Conflict, match="it has ended"):
            await service.pause(run.id)


def _history(service: object, run: str) -> list:  # type: ignore[type-arg]
    return service._supervisor.history(run)  # type: ignore[attr-defined,no-any-return]


def _paused(service: object, run: str) -> tuple[int, int] | None:
    """How much was told when the run had paused, and its URLs then."""
    history = _history(service, run)
    quiet = history and history[-1].paused == "user" and not history[-1].in_flight
    return (len(history), history[-1].urls) if quiet else None


async def test_a_stopped_run_drains_and_a_retry_goes_on_in_its_directory(web: StartedWeb, tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.add_job(job(web, keys=SLOW))
        run = await service.start("flat")
        await pages_of(service, run)
        assert (await service.stop(run.id)).state is RunState.STOPPING
        run = await ended(service, run)
        assert (run.state, run.reason) == (RunState.CANCELLED, RunReason.USER)
        assert run.summary is not None and run.summary["ending"] == "stopped" and run.summary["owed"] > 0
        again = await ended(service, await service.retry(run.id))
        assert (again.state, again.directory, again.attempt) == (RunState.SUCCEEDED, run.directory, 2)
        assert again.summary is not None and again.summary["digest"] == WHOLE
        assert again.summary["urls_this_run"] < again.summary["urls"]


async def test_a_cancel_by_force_kills_the_process_and_what_it_has_started(web: StartedWeb, tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.add_job(job(web, keys=SLOW | {"mode": "processes", "processes": 2}))
        run = await service.start("flat")
        await pages_of(service, run)
        pid = service._supervisor._active[run.id].child.pid  # type: ignore[union-attr]
        assert len(_session(pid)) > 2
        await service.cancel(run.id, force=True)
        run = await ended(service, run)
        assert (run.state, run.signal) == (RunState.CANCELLED, signal.SIGKILL)
        await until(lambda: not _session(pid))


def _session(leader: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(entry.name))
    return found


async def test_a_run_whose_process_is_killed_goes_on_with_another(web: StartedWeb, tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.add_job(job(web, keys=SLOW))
        run = await service.start("flat")
        await pages_of(service, run)
        os.kill(service._supervisor._active[run.id].child.pid, signal.SIGKILL)  # type: ignore[union-attr]
        run = await ended(service, run)
        assert run.summary is not None and run.summary["digest"] == WHOLE
        assert run.starts == 2
        changes = [(change.state, change.reason) for change in await service.transitions(run.id)]
        assert (RunState.QUEUED, RunReason.KILLED) in changes


async def test_a_service_that_starts_resumes_what_was_running_and_leaves_paused_what_was_paused(
    web: StartedWeb, tmp_path: Path
) -> None:
    async with serving(tmp_path) as service:
        await service.add_job(job(web, keys=SLOW))
        run = await service.start("flat")
        await pages_of(service, run)
    async with serving(tmp_path) as service:
        await in_state(service, run, RunState.RUNNING)
        await pages_of(service, run)
        await service.pause(run.id)
    async with serving(tmp_path) as service:
        assert (await service.run(run.id)).state is RunState.PAUSED
        assert await service.progress(run.id) is None
        await service.resume(run.id)
        run = await ended(service, run)
        assert run.summary is not None and run.summary["digest"] == WHOLE
        assert run.starts == 3


async def test_two_runs_of_one_host_wait_for_each_other(web: StartedWeb, tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.add_job(job(web))
        first, second = await service.start("flat"), await service.start("flat")
        await in_state(service, first, RunState.RUNNING)
        assert (await service.run(second.id)).state is RunState.QUEUED
        await ended(service, second)
        times = {run.id: await service.transitions(run.id) for run in (first, second)}
        assert times[first.id][-1].at <= times[second.id][1].at


async def test_a_host_rests_between_two_runs_as_long_as_between_two_requests(tmp_path: Path) -> None:
    log, delay = tmp_path / "web.log", 2.0
    with start_web(flat=PAGES, log=log) as web:
        async with serving(tmp_path) as service:
            await service.add_job(job(web, "one", {"max_pages": 1, "delay": delay}))
            await service.add_job(job(web, "two", {"max_pages": 1}))
            first, second = await service.start("one"), await service.start("two")
            await ended(service, first)
            await ended(service, second)
            changes = await service.transitions(second.id)
    began = next(change.at for change in changes if change.state is RunState.STARTING)
    asked = [entry.wall for entry in read_log(log)]
    before, after = ([at for at in asked if (at < began) is is_before] for is_before in (True, False))
    assert min(after) - max(before) >= delay


async def test_a_host_rests_after_a_run_no_longer_than_the_limit(
    web: StartedWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_REST", 0.2)
    async with serving(tmp_path) as service:
        await service.add_job(job(web, "one", {"max_pages": 1, "delay": 3600.0, "robots": False}))
        await service.add_job(job(web, "two", {"max_pages": 1}))
        first, second = await service.start("one"), await service.start("two")
        for run in (first, second):
            assert (await ended(service, run)).state is RunState.LIMITED


async def test_a_full_queue_a_repeated_request_and_a_job_in_use(web: StartedWeb, tmp_path: Path) -> None:
    async with serving(tmp_path, max_queued=1, max_running=1) as service:
        await service.add_job(job(web, keys=SLOW))
        first = await service.start("flat", idempotency_key="one")
        assert (await service.start("flat", idempotency_key="one")).id == first.id
        with pytest.raises(Invalid, match="another request"):
            await service.start("flat", mode="threads", idempotency_key="one")
        await in_state(service, first, RunState.RUNNING)
        waiting = await service.start("flat")
        with pytest.raises(QueueFull):
            await service.start("flat")
        with pytest.raises(Conflict, match="has not ended"):
            await service.remove_job("flat")
        assert (await service.cancel(waiting.id)).state is RunState.CANCELLED
        await service.cancel(first.id)
        await ended(service, first)
        await service.remove_job("flat")
        with pytest.raises(NotFound):
            await service.job("flat")
        assert {run.id for run in (await service.runs(job=first.job)).items} == {first.id, waiting.id}


async def test_expectations_degrade_or_fail_a_run_and_a_failed_one_is_tried_again(
    web: StartedWeb, tmp_path: Path
) -> None:
    async with serving(tmp_path) as service:
        await service.add_job(job(web, "soft", expect=Expect(min_pages=1000)))
        soft = await ended(service, await service.start("soft"))
        assert (soft.state, soft.reason) == (RunState.SUCCEEDED, RunReason.DEGRADED)
        assert len(soft.unmet) == 1 and "1,000 expected" in soft.unmet[0]
        strict = Expect(min_pages=1000, fail=True)
        await service.add_job(job(web, "hard", expect=strict, retry=Retry(attempts=1, first_wait=1)))
        hard = await ended(service, await service.start("hard"))
        assert (hard.state, hard.reason) == (RunState.FAILED, RunReason.EXPECTATION)
        again = next(run for run in (await service.runs(job="hard")).items if run.retry_of == hard.id)
        assert (again.attempt, again.directory) == (2, hard.directory)
        await ended(service, again)
        assert len((await service.runs(job="hard")).items) == 2, "one attempt more, as the policy says"
        assert {run.id for run in (await service.overview()).troubles} == {soft.id, hard.id, again.id}


async def test_a_run_that_cannot_be_started_tells_why(
    web: StartedWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_A_TEST", "hush")
    login = {"http://flat.demo.test": {"token": "env:SECRET_OF_A_TEST"}}
    async with serving(tmp_path) as service:
        added = await service.add_job(job(web, keys={"credentials": login}))
        assert "hush" not in repr(added)
        monkeypatch.delenv("SECRET_OF_A_TEST")
        run = await ended(service, await service.start("flat"))
        assert (run.state, run.reason, run.exit_code) == (RunState.FAILED, RunReason.EXIT_CODE, 2)
        assert "SECRET_OF_A_TEST" in run.stderr
        assert "SECRET_OF_A_TEST" in service.log_file(run.id).read_text()


async def test_a_full_disk_pauses_runs_and_says_so(
    web: StartedWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, disk_floor="1M") as service:
        await service.add_job(job(web, keys=SLOW))
        run = await in_state(service, await service.start("flat"), RunState.RUNNING)
        free = 0
        monkeypatch.setattr(service._supervisor, "disk_free", lambda: free)
        run = await in_state(service, run, RunState.PAUSED)
        overview = await service.overview()
        assert (run.reason, overview.disk_full, overview.disk_free) == (RunReason.DISK, True, 0)
        assert (await service.resume(run.id)).state is RunState.PAUSED, "there is still no room"
        free = 1 << 30
        run = await in_state(service, run, RunState.RUNNING)
        assert not (await service.overview()).disk_full
        run = await ended(service, run)
        assert run.summary is not None and run.summary["digest"] == WHOLE


async def test_a_tick_becomes_one_run_and_missed_ones_have_rows(web: StartedWeb, tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.add_job(job(web))
        schedule = await service.add_schedule(ScheduleSpec(job="flat", cron="* * * * *", catchup=600))
        database = service._database
        with database.transaction():  # as if the service had been away for five minutes
            database.schedules.put(replace(schedule, decided=int(time()) - 300))
        service._timetable.wake(schedule.id)
        await until(lambda: database.ticks(schedule.id, None, 100).items)
        ticks = (await service.ticks(schedule.id)).items
        assert [tick.reason for tick in ticks][1:] == [RunReason.COALESCED] * (len(ticks) - 1)
        assert 5 <= sum(tick.missed for tick in ticks) <= 6
        (started,) = [tick.run for tick in ticks if tick.run is not None]
        run = await ended(service, await service.run(started))
        assert (run.schedule, run.due) == (schedule.id, ticks[0].due)
        assert (await service.overview()).due[0].id == schedule.id
        await service.remove_job("flat")
        assert (await service.schedules()).items == []


async def test_a_tick_that_overlaps_is_skipped_queued_or_ends_the_run_before(web: StartedWeb, tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.add_job(job(web, keys=SLOW))
        schedule = await service.add_schedule(ScheduleSpec(job="flat", cron="* * * * *", overlap="cancel"))
        first = await service.run_schedule(schedule.id)
        await in_state(service, first, RunState.RUNNING)
        database = service._database
        with database.transaction():
            database.schedules.put(replace(schedule, decided=int(time()) - 61))
        service._timetable.decide(schedule.id, time())
        first = await ended(service, first)
        assert (first.state, first.reason) == (RunState.CANCELLED, RunReason.OVERLAP)
        second = next(run for run in (await service.runs()).items if run.due is not None)
        await in_state(service, second, RunState.RUNNING)
        schedule = await service.change_schedule(schedule.id, {"overlap": "skip"})
        with database.transaction():
            database.schedules.put(replace(schedule, decided=schedule.decided - 61))
            database._execute("DELETE FROM tick")
        service._timetable.decide(schedule.id, time())
        assert (await service.ticks(schedule.id)).items[0].reason is RunReason.OVERLAP
        await service.cancel(second.id, force=True)


async def test_retention_removes_old_directories_and_keeps_their_rows(web: StartedWeb, tmp_path: Path) -> None:
    async with serving(tmp_path, keep_runs=1) as service:
        await service.add_job(job(web, keys={"max_pages": 5}))
        runs = [await ended(service, await service.start("flat")) for _ in range(3)]
        await service._kept.sweep()
        found = [await service.run(run.id) for run in runs]
        assert [run.removed for run in found] == [True, True, False]
        assert [(tmp_path / run.directory).exists() for run in runs] == [False, False, True]
        assert not run_file(tmp_path, runs[0].id).exists() and not service.log_file(runs[0].id).exists()
        (stored,) = await service.storage()
        assert (stored.run, stored.removed_next) == (runs[2].id, False) and stored.bytes > 1000 and stored.files > 2
        with pytest.raises(NotFound):
            service.directory(runs[0].id)
        with pytest.raises(Conflict, match="gone"):
            await service.retry(runs[0].id)


async def test_a_run_of_the_demo_needs_no_seeds(tmp_path: Path) -> None:
    from crawler.service.records import JobSpec

    async with serving(tmp_path) as service:
        await service.add_job(JobSpec(name="demo", settings={"profile": "demo"}))
        run = await service.start("demo")
        await pages_of(service, run)
        await service.cancel(run.id, force=True)
        assert (await ended(service, run)).state is RunState.CANCELLED


async def test_settings_of_a_run_come_on_top_of_those_of_its_job(web: StartedWeb, tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.add_job(job(web))
        run = await ended(service, await service.start("flat", mode="threads", settings={"max_pages": 3}))
        assert (run.state, run.mode) == (RunState.LIMITED, "threads")
        assert run.summary is not None and run.summary["urls"] == 3
        assert (await service.job("flat")).settings == settings(web)


async def test_crashes_count_in_a_row_and_a_page_ends_the_row(
    web: StartedWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as service:
        await service.add_job(job(web, keys=SLOW))
        run = await service.start("flat")
        database = service._database
        with database.transaction():
            database.runs.put(replace(run, crashes=4))
        await pages_of(service, run)
        await until(lambda: service._journal.get(run.id).crashes == 0)
        await service.cancel(run.id, force=True)
        monkeypatch.setattr("crawler.service.child.sys.executable", "/bin/false")
        run = await ended(service, await service.start("flat"))
        assert (run.state, run.reason, run.exit_code) == (RunState.FAILED, RunReason.EXIT_CODE, 1)
