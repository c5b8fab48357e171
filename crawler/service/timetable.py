"""The loop that decides the ticks of all schedules and writes what becomes of them.

Rules:
- core/scheduler.py decides. Its rows, the run that a tick becomes, the cancellation of the run before and the memory of
  the schedule are one transaction: a kill has decided all of it or nothing.
- It looks when the next tick is due, and at least each LONGEST seconds, because the clock may be set.
- A schedule whose cron line or zone cannot be read any more (a time zone that this machine does not have) is told as a
  notice once a day, and does not keep the others from running.
- A schedule whose job is gone is removed with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import time

from msgspec.structs import replace

from crawler.errors import StorageError
from crawler.service.config import ServiceConfig
from crawler.service.core.scheduler import Decision, Due, Load, Timing, decide
from crawler.service.core.schedules import BadSchedule
from crawler.service.core.states import ACTIVE, RunEvent, RunReason, RunState
from crawler.service.errors import Conflict
from crawler.service.records import JobRecord, RunRecord, ScheduleRecord, TickRecord
from crawler.service.run_journal import RunJournal
from crawler.service.run_starts import RunStarts

LONGEST = 30.0
DAY = 86_400.0
NEVER = float("inf")


class Timetable:
    """The schedules of one service; `enforce` carries out a cancellation, `on_run` is called for each run that is
    queued."""

    def __init__(
        self,
        journal: RunJournal,
        starts: RunStarts,
        config: ServiceConfig,
        enforce: Callable[[RunRecord], None],
        on_run: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._starts = starts
        self._config = config
        self._enforce = enforce
        self._on_run = on_run
        self._woken = asyncio.Event()
        self._complained: dict[str, float] = {}

    def wake(self) -> None:
        """A schedule has changed."""
        self._woken.set()

    async def run(self) -> None:
        """Decide what is due, until cancelled."""
        while True:
            self._woken.clear()
            try:
                wake_at = self.decide_all(time())
            except StorageError as error:
                self._journal.complain(f"schedules cannot be written, trying again: {error}")
                wake_at = time() + 1.0
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(LONGEST, wake_at - time()))):
                    await self._woken.wait()

    def decide_all(self, now: float) -> float:
        """Decide every schedule at `now`; returns when to look again. Raises StorageError."""
        wake_at = NEVER
        for schedule in self._journal.database.schedules.where():
            try:
                wake_at = min(wake_at, self._decide(schedule, now))
            except BadSchedule as error:
                if now - self._complained.get(schedule.id, -DAY) >= DAY:
                    self._complained[schedule.id] = now
                    self._journal.complain(f"schedule {schedule.id} cannot be read: {error}")
        return wake_at

    def _decide(self, schedule: ScheduleRecord, now: float) -> float:
        found = decide(schedule.id, timing_of(schedule), schedule.decided, now, self._load(schedule))
        next_due = None if found.next_due is None or schedule.paused else float(found.next_due)
        if found.ticks or found.decided != schedule.decided or next_due != schedule.next_due:
            self._write(replace(schedule, decided=found.decided, next_due=next_due), found)
        return NEVER if found.wake_at is None else found.wake_at

    def _load(self, schedule: ScheduleRecord) -> Load:
        database = self._journal.database
        runs = [run for state in ACTIVE for run in database.runs.where(schedule=schedule.id, state=state)]
        waiting = sum(run.state is RunState.QUEUED for run in runs)
        return Load(len(runs), waiting, self._config.max_queued - database.runs.count(state=RunState.QUEUED))

    def _write(self, schedule: ScheduleRecord, found: Decision) -> None:
        job = self._journal.database.jobs.get(schedule.job)
        ended: list[RunRecord] = []
        with self._journal.transaction():
            if found.cancel:
                ended = self._cancel_runs(schedule)
            for due in found.ticks:
                self._write_tick(schedule, job, due)
            self._journal.database.schedules.put(schedule)
            self._journal.tell("schedule", schedule)
        for run in ended:
            self._enforce(run)
        if any(due.reason is None for due in found.ticks):
            self._on_run()

    def _write_tick(self, schedule: ScheduleRecord, job: JobRecord | None, due: Due) -> None:
        if self._journal.database.has_tick(schedule.id, float(due.due)):
            return
        run = None
        if due.reason is None and job is not None:
            run = self._starts.create(job, {}, schedule=schedule.id, due=float(due.due)).id
        tick = TickRecord(schedule.id, float(due.due), run, due.reason, due.missed)
        self._journal.database.add_tick(tick)
        self._journal.tell("tick", tick)

    def _cancel_runs(self, schedule: ScheduleRecord) -> list[RunRecord]:
        """End the runs of a schedule that have not ended, because the next one is due."""
        ended = list[RunRecord]()
        for run in self._journal.database.active_runs():
            if run.schedule == schedule.id:
                event = RunEvent.SKIP if run.state is RunState.QUEUED else RunEvent.CANCEL
                with suppress(Conflict):  # it is stopping already
                    ended.append(self._journal.apply(run.id, event, RunReason.OVERLAP))
        return ended


def timing_of(schedule: ScheduleRecord) -> Timing:
    """When a schedule is due, as the core has it."""
    return Timing(
        cron=schedule.cron,
        zone=schedule.zone,
        overlap=schedule.overlap,
        catchup=schedule.catchup,
        jitter=schedule.jitter,
        paused=schedule.paused,
    )
