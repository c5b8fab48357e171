"""A service in a process of its own that is meant to be killed: `python -m tests.service.killed_service DATA PLAN`.

PLAN is JSON: the settings of each job, and a cron line with an overlap for each schedule. While it lives it keeps
`alive` runs going. With `drain` it starts none, pauses its schedules, and ends when every run has ended.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from crawler.service.config import ServiceConfig
from crawler.service.core.states import RunState
from crawler.service.errors import Conflict
from crawler.service.records import JobSpec, Overlap, ScheduleSpec
from crawler.service.service import Service
from tests.service.open_service import until


class KillPlan(msgspec.Struct, frozen=True):
    """What the service has to do. `schedules`: (job, overlap); the jobs in `recrawls` crawl again."""

    jobs: dict[str, dict[str, Any]]
    schedules: tuple[tuple[str, Overlap], ...]
    alive: int
    recrawls: tuple[str, ...] = ()
    drain: bool = False


async def main(data: Path, plan: KillPlan) -> None:
    """Serve until killed, or until nothing is left to do."""
    service = await Service.open(data, ServiceConfig(max_running=plan.alive, disk_floor="1K", max_queued=50))
    working = asyncio.create_task(service.run_forever())
    for name, settings in plan.jobs.items():
        if all(job.name != name for job in (await service.jobs()).items):
            await service.add_job(JobSpec(name=name, settings=settings, recrawl=name in plan.recrawls))
    known = [(schedule.job, schedule.overlap) for schedule in (await service.schedules()).items]
    for name, overlap in plan.schedules:
        if ((await service.job(name)).id, overlap) not in known:
            await service.add_schedule(ScheduleSpec(job=name, cron="* * * * *", overlap=overlap))
    await until(service.ready)
    print("ready", flush=True)
    while not working.done():
        found = await service.overview()
        if not plan.drain:
            await _keep_alive(service, plan, len(found.running) + len(found.queued))
        elif not found.running and not found.queued:
            break
        else:
            await _end_schedules(service)
        await asyncio.sleep(0.05)
    await service.close()
    await working


async def _keep_alive(service: Service, plan: KillPlan, alive: int) -> None:
    """Start runs of jobs that have none; now and then pause one and let it go on at once."""
    busy = {run.job_name for state in RunState for run in (await service.runs(state=state)).items if not run.ended_at}
    free = [name for name in plan.jobs if name not in busy]
    if alive < plan.alive + 2 and free:
        await service.start(random.choice(free))
    for run in (await service.runs(state=RunState.PAUSED)).items:
        await service.resume(run.id)
    if random.random() < 0.02:
        for run in (await service.runs(state=RunState.RUNNING)).items[:1]:
            await service.pause(run.id)


async def _end_schedules(service: Service) -> None:
    for schedule in (await service.schedules()).items:
        if not schedule.paused:
            await service.pause_schedule(schedule.id)
    for run in (await service.runs(state=RunState.PAUSED)).items:
        try:
            await service.resume(run.id)
        except Conflict:
            continue


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=KillPlan)))
