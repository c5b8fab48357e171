"""Schedules: when jobs are run, and what became of each tick."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from crawler.service.records import (
    MONTH,
    Listing,
    Overlap,
    RunRecord,
    ScheduleRecord,
    ScheduleSpec,
    Sent,
    TickRecord,
)
from crawler.service.routes.queries import PageQuery
from crawler.service.routing import API, Call, Query, Route

SCHEDULE = f"{API}/schedules/{{schedule}}"


class NextQuery(Query, frozen=True):
    """How many of the next times to show."""

    n: Annotated[int, Meta(ge=1, le=1000)] = 10


class SchedulePatch(Sent, frozen=True):
    """What changes of a schedule (RFC 7396): what is left out stays as it is, null takes it back to its default."""

    job: Annotated[str, Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    cron: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET
    zone: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType | None = UNSET
    overlap: Overlap | UnsetType | None = UNSET
    catchup: Annotated[float, Meta(ge=0, le=MONTH)] | UnsetType | None = UNSET
    jitter: Annotated[float, Meta(ge=0, le=86400)] | UnsetType | None = UNSET
    paused: bool | UnsetType | None = UNSET


async def list_schedules(call: Call) -> Listing[ScheduleRecord]:
    """The schedules."""
    return await call.service.schedules(cursor=call.query.cursor, limit=call.query.limit)


async def add_schedule(call: Call) -> ScheduleRecord:
    """A new schedule."""
    schedule = await call.service.add_schedule(call.body)
    call.location = f"{API}/schedules/{schedule.id}"
    return schedule


async def one_schedule(call: Call) -> ScheduleRecord:
    """One schedule."""
    return await call.service.schedule(call.path["schedule"])


async def change_schedule(call: Call) -> ScheduleRecord:
    """A schedule with some keys changed."""
    return await call.service.change_schedule(call.path["schedule"], call.sent)


async def remove_schedule(call: Call) -> None:
    """Remove a schedule."""
    await call.service.remove_schedule(call.path["schedule"])


async def pause(call: Call) -> ScheduleRecord:
    """Pause a schedule."""
    return await call.service.pause_schedule(call.path["schedule"])


async def resume(call: Call) -> ScheduleRecord:
    """Let a paused schedule go on."""
    return await call.service.resume_schedule(call.path["schedule"])


async def run_now(call: Call) -> RunRecord:
    """A run of the schedule's job, now."""
    run = await call.service.run_schedule(call.path["schedule"])
    call.location = f"{API}/runs/{run.id}"
    return run


async def next_due(call: Call) -> Listing[float]:
    """When it is due next."""
    return Listing(await call.service.next_due(call.path["schedule"], call.query.n))


async def ticks(call: Call) -> Listing[TickRecord]:
    """What became of its ticks."""
    query = call.query
    return await call.service.ticks(call.path["schedule"], cursor=query.cursor, limit=query.limit)


ROUTES = (
    Route(
        "GET",
        f"{API}/schedules",
        list_schedules,
        "List schedules",
        query=PageQuery,
        answer=Listing[ScheduleRecord],
    ),
    Route(
        "POST",
        f"{API}/schedules",
        add_schedule,
        "Add a schedule",
        scope="admin",
        body=ScheduleSpec,
        answer=ScheduleRecord,
        status=201,
        refusals=(404, 409),
    ),
    Route("GET", SCHEDULE, one_schedule, "Show a schedule", answer=ScheduleRecord),
    Route(
        "PATCH",
        SCHEDULE,
        change_schedule,
        "Change a schedule",
        scope="admin",
        body=SchedulePatch,
        answer=ScheduleRecord,
        refusals=(409,),
    ),
    Route("DELETE", SCHEDULE, remove_schedule, "Remove a schedule; its runs stay", scope="admin", status=204),
    Route(
        "POST",
        f"{SCHEDULE}/pause",
        pause,
        "Pause a schedule: its ticks are skipped, with a row each",
        scope="admin",
        answer=ScheduleRecord,
        status=202,
        refusals=(409,),
    ),
    Route(
        "POST",
        f"{SCHEDULE}/resume",
        resume,
        "Let a paused schedule go on",
        scope="admin",
        answer=ScheduleRecord,
        status=202,
        refusals=(409,),
    ),
    Route(
        "POST",
        f"{SCHEDULE}/run",
        run_now,
        "Run the job of a schedule now",
        scope="admin",
        answer=RunRecord,
        status=202,
        refusals=(409, 429),
    ),
    Route(
        "GET",
        f"{SCHEDULE}/next",
        next_due,
        "List the next times at which a schedule is due, in Unix seconds",
        query=NextQuery,
        answer=Listing[float],
    ),
    Route(
        "GET",
        f"{SCHEDULE}/ticks",
        ticks,
        "List what became of the ticks of a schedule, newest first",
        query=PageQuery,
        answer=Listing[TickRecord],
    ),
)
