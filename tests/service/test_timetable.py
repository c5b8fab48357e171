"""The timetable of a service reads only the schedules that are due, and misses none, whatever the clock does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from crawler.service.config import ServiceConfig
from crawler.service.core.scheduler import Load, decide
from crawler.service.core.schedules import calendar_of
from crawler.service.records import JobRecord, JobSpec, ScheduleRecord
from crawler.service.service import Service
from crawler.service.timetable import MOST, NEVER, RETRY, timing_of

BEGIN = 1_774_650_000  # 2026-03-27, two days before Europe changes its clocks
LINES = ("*/7 * * * *", "30 2 * * *", "0 * * * *", "15 2 * * SUN", "0 5 1 * *")
ZONES = ("UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York")


def schedule(job: JobRecord, number: int, **fields: Any) -> ScheduleRecord:
    usual: dict[str, Any] = {"cron": "0 3 * * *", "zone": "UTC", "overlap": "skip", "catchup": 3600.0, "jitter": 0.0}
    usual |= {"paused": False, "created_at": BEGIN, "updated_at": BEGIN, "decided": BEGIN} | fields
    next_due = calendar_of(usual["cron"], "UTC" if usual["zone"] == "Gone/Zone" else usual["zone"]).after(BEGIN)
    return ScheduleRecord(id=f"sch_{number:012}", job=job.id, next_due=None if usual["paused"] else next_due, **usual)


async def filled(folder: Path, schedules: list[dict[str, Any]]) -> Service:
    service = await Service.open(folder, ServiceConfig(max_queued=5))
    job = await service.add_job(JobSpec(name="one", settings={"seeds": ["http://a.test/"]}))
    with service._database.transaction():
        for number, fields in enumerate(schedules):
            service._database.schedules.put(schedule(job, number, **fields))
    return service


def look(service: Service, now: float) -> float:
    """Look until nothing is due any more; returns when to look again."""
    while (wake_at := service._timetable.decide_due(now)) <= now:
        pass
    return wake_at


def check(service: Service, now: float) -> float:
    """Asks every schedule: none is due, and each tick so far has its row. Returns the earliest time that one is."""
    earliest = NEVER
    for one in service._database.schedules.where():
        found = decide(one.id, timing_of(one), one.decided, now, Load())
        assert not found.ticks, (one, now)
        ticks = service._database.ticks(one.id, None, 100_000).items
        assert sum(tick.missed for tick in ticks) == calendar_of(one.cron, one.zone).count(BEGIN, one.decided)
        earliest = min(earliest, found.wake_at or NEVER)
    return earliest


@pytest.mark.parametrize("seed", range(2))
async def test_no_schedule_is_missed_however_the_clock_jumps(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    drawn = [
        {
            "cron": dice.choice(LINES),
            "zone": dice.choice(ZONES),
            "jitter": dice.choice([0.0, 300.0]),
            "paused": dice.random() < 0.2,
        }
        for _ in range(20)
    ]
    service = await filled(tmp_path, drawn)
    now = float(BEGIN)
    for _ in range(25):
        wake_at = look(service, now)
        assert wake_at == check(service, now) > now
        jump = dice.choice(["wake", "wake", "wake", "ahead", "back", "pause"])
        now = {"wake": wake_at, "ahead": now + 10 ** dice.uniform(1, 5.5), "back": now - 10 ** dice.uniform(1, 5)}.get(
            jump, now
        )
        if jump == "pause":
            one = dice.choice(service._database.schedules.where())
            service._timetable.decide(one.id, now)
            with service._database.transaction():
                one = replace(service._schedules.get(one.id), paused=not one.paused)
                service._database.schedules.put(one)
            service._timetable.wake(one.id)
    await service.close()


async def test_a_look_reads_only_what_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    often = {"cron": "* * * * *", "overlap": "allow"}
    service = await filled(tmp_path, [{}] * 2000 + [often])
    assert look(service, BEGIN) == BEGIN - BEGIN % 60 + 60
    read, execute = list[str](), service._database.schedules._execute

    def count(query: str, values: Sequence[Any]) -> list[Any]:
        read.append(query)
        return execute(query, values)

    monkeypatch.setattr(service._database.schedules, "_execute", count)
    look(service, BEGIN + 1)
    assert read == []
    look(service, BEGIN + 60)
    assert len(read) == 2, "one schedule was read and written"
    await service.close()


async def test_the_loop_goes_on_while_many_are_due_at_once(tmp_path: Path) -> None:
    service = await filled(tmp_path, [{"cron": "0 * * * *"}] * (MOST + 1))
    now = float(BEGIN + 3600)
    assert service._timetable.decide_due(now) <= now, "there is more to decide"
    assert len(service._database._execute("SELECT 1 FROM tick")) == MOST
    assert look(service, now) > now
    assert len(service._database._execute("SELECT 1 FROM tick")) == MOST + 1
    await service.close()


async def test_a_schedule_that_cannot_be_read_keeps_no_other_and_is_tried_again(tmp_path: Path) -> None:
    service = await filled(tmp_path, [{"zone": "Gone/Zone"}, {"cron": "0 * * * *"}])
    bad, good = service._database.schedules.where()
    assert look(service, BEGIN) == BEGIN + RETRY
    assert look(service, BEGIN + 3600) == BEGIN + 3600 + RETRY
    assert len((await service.ticks(good.id)).items) == 1
    assert look(service, BEGIN) == BEGIN + RETRY, "the clock was set back"
    with service._database.transaction():
        service._database.schedules.put(replace(bad, zone="UTC"))
    assert look(service, BEGIN + RETRY) > BEGIN + RETRY
    await service.remove_schedule(bad.id)
    await service.remove_schedule(good.id)
    assert look(service, BEGIN + 10**7) == NEVER
    await service.close()


async def test_the_overview_shows_what_is_due_first(tmp_path: Path) -> None:
    service = await filled(tmp_path, [{}, {"cron": "0 * * * *"}, {"cron": "* * * * *", "paused": True}])
    assert [one.cron for one in (await service.overview()).due] == ["0 * * * *", "0 3 * * *"]
    await service.close()
