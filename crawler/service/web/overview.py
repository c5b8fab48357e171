"""The first page: what runs, what is due, what went wrong lately, the disk; and the jobs."""

from __future__ import annotations

from typing import NamedTuple

from crawler.service.records import JobRecord, RunProgress, RunRecord, ScheduleRecord
from crawler.service.web.charts import spark
from crawler.service.web.visits import Answer, Shown, Visit

LATELY = 50
JOBS = 200
LAST_RUNS = 500


class LiveRun(NamedTuple):
    """A run that has not ended, how far it is, and its rate over the last minutes as a small figure."""

    run: RunRecord
    progress: RunProgress | None
    figure: str


class JobRow(NamedTuple):
    """A job, its newest run, and when a schedule wants it next."""

    job: JobRecord
    last: RunRecord | None
    next_due: float | None


async def overview(visit: Visit) -> Answer:
    """The overview, or one of the parts that change while runs run."""
    if visit.fragment == "jobs":
        return Shown("parts/job_rows.html", {"jobs": await job_rows(visit), "tag": None})
    service = visit.service
    told = await service.overview()
    live = [await live_run(visit, run) for run in told.running]
    context = {"told": told, "live": live, "names": await job_names(visit)}
    if visit.fragment == "now":
        return Shown("parts/now.html", context)
    return Shown("overview.html", {**context, "jobs": await job_rows(visit), "tag": None})


async def live_run(visit: Visit, run: RunRecord) -> LiveRun:
    """A run with its progress."""
    history = await visit.service.history(run.id)
    return LiveRun(run, await visit.service.progress(run.id), spark([one.rate for one in history]))


async def job_names(visit: Visit) -> dict[str, str]:
    """The names of the jobs by id."""
    return {job.id: job.name for job in (await visit.service.jobs(limit=JOBS)).items}


async def job_rows(visit: Visit, tag: str | None = None) -> list[JobRow]:
    """Every job with its newest run and its next due time."""
    service = visit.service
    newest: dict[str, RunRecord] = {}
    for run in (await service.runs(limit=LAST_RUNS)).items:
        newest.setdefault(run.job, run)
    due: dict[str, float] = {}
    for schedule in (await service.schedules(limit=LAST_RUNS)).items:
        if schedule.next_due is not None:
            due[schedule.job] = min(schedule.next_due, due.get(schedule.job, schedule.next_due))
    jobs = (await service.jobs(tag=tag, limit=JOBS)).items
    return [JobRow(job, newest.get(job.id), due.get(job.id)) for job in jobs]


def due_first(schedules: list[ScheduleRecord]) -> list[ScheduleRecord]:
    """Schedules in the order of their next tick; paused ones last."""
    return sorted(schedules, key=lambda one: (one.next_due is None, one.next_due or 0.0, one.id))
