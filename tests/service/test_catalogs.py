"""Jobs, schedules and tokens of a service, as rows: no process is started here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from time import time
from typing import Any

import pytest

from crawler.errors import Locked
from crawler.service.config import ServiceConfig
from crawler.service.core.states import RunReason, RunState
from crawler.service.errors import Conflict, Invalid, NotFound
from crawler.service.merge_patch import merge_patch
from crawler.service.records import Expect, JobSpec, OnEnd, ScheduleSpec
from crawler.service.service import Service

SETTINGS = {"seeds": ["http://a.test/"], "delay": 2}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    found = await Service.open(tmp_path, ServiceConfig())
    yield found
    await found.close()


def spec(name: str = "one", **fields: Any) -> JobSpec:
    return JobSpec(**{"name": name, "settings": SETTINGS, **fields})


# ---- jobs ------------------------------------------------------------------------------------------------------------


async def test_a_job_is_found_by_its_id_and_its_name(service: Service) -> None:
    job = await service.add_job(spec(tags=("news",), expect=Expect(min_pages=3), on_end=OnEnd(url="http://h.test/")))
    assert await service.job(job.id) == await service.job("one") == job
    for ref in ("two", "job_000000000000", "", "job_x' OR 1"):
        with pytest.raises(NotFound):
            await service.job(ref)


async def test_names_are_unique_and_look_like_no_id(service: Service) -> None:
    await service.add_job(spec())
    with pytest.raises(Conflict, match="already"):
        await service.add_job(spec())
    with pytest.raises(Invalid, match="looks like an id"):
        await service.add_job(spec("job_000000000000"))
    other = await service.add_job(spec("two"))
    with pytest.raises(Conflict):
        await service.change_job(other.id, {"name": "one"})
    assert (await service.change_job("two", {"name": "two", "tags": ["x"]})).tags == ("x",)


async def test_jobs_are_listed_by_name_page_by_page(service: Service) -> None:
    for name in ("c", "a", "b"):
        await service.add_job(spec(name, tags=("odd",) if name != "b" else ()))
    first = await service.jobs(limit=2)
    second = await service.jobs(cursor=first.next, limit=2)
    assert [job.name for job in (*first.items, *second.items)] == ["a", "b", "c"] and second.next is None
    assert [job.name for job in (await service.jobs(tag="odd")).items] == ["a", "c"]
    tagged = await service.jobs(tag="odd", limit=1)
    assert ([job.name for job in tagged.items], tagged.next) == (["a"], "a")
    last = await service.jobs(tag="odd", cursor="a", limit=1)
    assert ([job.name for job in last.items], last.next) == (["c"], None)
    assert (await service.jobs(cursor="c")).items == [] and (await service.jobs(tag="none", limit=1)).items == []


async def test_a_patch_merges_settings_and_null_takes_one_away(service: Service) -> None:
    await service.add_job(spec(expect=Expect(min_pages=3)))
    job = await service.change_job("one", {"settings": {"delay": None, "mode": "threads"}, "expect": {"fail": True}})
    assert job.settings == {"seeds": ["http://a.test/"], "mode": "threads"}
    assert job.expect == Expect(min_pages=3, fail=True)
    for patch, key in (
        ({"settings": {"seeds": None}}, "settings.seeds"),
        ({"settings": {"dely": 1}}, "settings.dely"),
        ({"tags": [1]}, "tags[0]"),
        ({"name": "a/b"}, "name"),
        ({"name": None}, ""),
    ):
        with pytest.raises(Invalid) as caught:
            await service.change_job("one", patch)
        assert caught.value.key == key or not key, patch
    assert await service.job("one") == job


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7396(target: Any, patch: Any, merged: Any) -> None:
    assert merge_patch(target, patch) == merged


# ---- schedules -------------------------------------------------------------------------------------------------------


async def test_a_schedule_tells_when_it_is_due(service: Service) -> None:
    job = await service.add_job(spec())
    schedule = await service.add_schedule(ScheduleSpec(job="one", cron="0 3 * * *", zone="Europe/Berlin"))
    assert schedule.job == job.id and schedule.next_due is not None and schedule.next_due > time()
    following = await service.next_due(schedule.id, 3)
    assert following[0] == schedule.next_due and following == sorted(following)
    assert (await service.overview()).due == [schedule]


@pytest.mark.parametrize(
    ("fields", "key"),
    [({"cron": "61 * * * *"}, "cron"), ({"cron": "every day"}, "cron"), ({"zone": "Europe/Berln"}, "zone")],
)
async def test_a_schedule_that_can_never_be_due_is_refused(service: Service, fields: dict[str, Any], key: str) -> None:
    await service.add_job(spec())
    with pytest.raises(Invalid) as caught:
        await service.add_schedule(ScheduleSpec(**{"job": "one", "cron": "0 3 * * *", **fields}))
    assert caught.value.key == key
    if key == "zone":
        assert caught.value.nearest == "Europe/Berlin"


async def test_a_schedule_of_no_job_or_one_that_is_not_there(service: Service) -> None:
    with pytest.raises(NotFound):
        await service.add_schedule(ScheduleSpec(job="one", cron="0 3 * * *"))
    for ask in (service.schedule, service.remove_schedule, service.pause_schedule, service.run_schedule):
        with pytest.raises(NotFound):
            await ask("sch_000000000000")


async def test_ticks_of_a_paused_schedule_have_rows_and_none_runs(service: Service) -> None:
    await service.add_job(spec())
    schedule = await service.add_schedule(ScheduleSpec(job="one", cron="* * * * *"))
    assert (await service.pause_schedule(schedule.id)).next_due is None
    service._timetable.decide_due(schedule.created_at + 150)
    ticks = (await service.ticks(schedule.id)).items
    assert {tick.reason for tick in ticks} == {RunReason.PAUSED_SCHEDULE} and len(ticks) in (2, 3)
    first = await service.ticks(schedule.id, limit=1)
    assert (await service.ticks(schedule.id, cursor=first.next, limit=1)).items == ticks[1:2]
    with pytest.raises(Invalid, match="cursor"):
        await service.ticks(schedule.id, cursor="x")
    assert (await service.runs()).items == []


async def test_a_tick_is_decided_once_whatever_the_clock_does(service: Service) -> None:
    await service.add_job(spec())
    schedule = await service.add_schedule(ScheduleSpec(job="one", cron="* * * * *"))
    due = schedule.next_due
    assert due is not None
    for now in (due - 1, due, due, due - 30, due + 1):
        service._timetable.decide_due(now)
    (run,) = (await service.runs()).items
    assert (run.state, run.schedule, run.due) == (RunState.QUEUED, schedule.id, due)
    (tick,) = (await service.ticks(schedule.id)).items
    assert (tick.run, tick.due) == (run.id, due)


async def test_a_full_queue_makes_a_row_of_a_tick(tmp_path: Path) -> None:
    service = await Service.open(tmp_path, ServiceConfig(max_queued=1))
    await service.add_job(spec())
    await service.start("one")
    schedule = await service.add_schedule(ScheduleSpec(job="one", cron="* * * * *"))
    service._timetable.decide_due(float(schedule.next_due or 0))
    (tick,) = (await service.ticks(schedule.id)).items
    assert (tick.run, tick.reason) == (None, RunReason.QUEUE_FULL)
    await service.close()


# ---- tokens and the folder -------------------------------------------------------------------------------------------


async def test_tokens_are_stored_as_hashes_and_can_be_revoked(service: Service, tmp_path: Path) -> None:
    first = service.token_file.read_text().strip()
    assert service.token_file.stat().st_mode & 0o777 == 0o600
    assert await service.check_token(first) == "admin"
    new = await service.add_token("dashboard", "read")
    assert await service.check_token(new.secret) == "read"
    for wrong in ("", "x", new.secret[:-1], "\ud800"):
        assert await service.check_token(wrong) is None
    with pytest.raises(Conflict):
        await service.add_token("dashboard", "admin")
    stored = _database_bytes(tmp_path)
    assert new.secret.encode() not in stored and first.encode() not in stored
    assert [token.name for token in await service.tokens()] == ["first", "dashboard"]
    assert "hash" not in repr(await service.tokens())
    await service.revoke_token(new.token.id)
    assert await service.check_token(new.secret) is None
    with pytest.raises(NotFound):
        await service.revoke_token(new.token.id)


def _database_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("service.sqlite*"))


async def test_the_first_token_is_made_anew_where_it_was_revoked(tmp_path: Path) -> None:
    service = await Service.open(tmp_path, ServiceConfig())
    first = service.token_file.read_text().strip()
    (token,) = await service.tokens()
    await service.revoke_token(token.id)
    assert not service.token_file.exists()
    await service.close()
    service = await Service.open(tmp_path, ServiceConfig())
    assert await service.check_token(first) is None
    assert await service.check_token(service.token_file.read_text().strip()) == "admin"
    assert len(await service.tokens()) == 1
    await service.close()


async def test_a_data_folder_has_one_service(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.service.service.LOCK_PATIENCE", 0.0)
    with pytest.raises(Locked, match="in use by process"):
        await Service.open(tmp_path, ServiceConfig())
    assert not service.ready(), "nobody runs it yet"
