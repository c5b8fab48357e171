"""The loop that decides the ticks of all schedules and writes what becomes of them.

Rules:
- core/scheduler.py decides. Its rows, the run that a tick becomes, the cancellation of the run before and the memory of
  the schedule are one transaction: a kill has decided all of it or nothing.
- When the next tick of a schedule is to be decided depends on the schedule alone, not on the present. These times are
  kept in order, from the first look on, and only schedules that are due are read.
- It looks when the next tick is due, and at least each LONGEST seconds, because the clock may be set.
- A look decides MOST schedules at most, then the loop goes on: clients are answered while 10,000 are due at once.
- A schedule whose cron line or zone cannot be read any more (a time zone that this machine does not have) is told as a
  notice once a day, and does not keep the others from running. It is looked at again after RETRY seconds.
- A schedule whose job is gone is removed with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from time import time

from msgspec.structs import replace

from crawler.errors import StorageError
from crawler.service.config import ServiceConfig
from crawler.service.core.scheduler import Decision, Due, Load, Timing, decide, upcoming
from crawler.service.core.schedules import BadSchedule
from crawler.service.core.states import ACTIVE, RunEvent, RunReason, RunState
from crawler.service.core.wake_times import WakeTimes
from crawler.service.errors import Conflict
from crawler.service.records import JobRecord, RunRecord, ScheduleRecord, TickRecord
from crawler.service.run_journal import RunJournal
from crawler.service.run_starts import RunStarts

LONGEST = 30.0
RETRY = 600.0
MOST = 50
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
        self._wakes: WakeTimes | None = None
        self._looked_at = 0.0

    def wake(self, key: str) -> None:
        """A schedule was added or has changed: it is looked at now."""
        self._times().set(key, 0.0)
        self._woken.set()

    async def run(self) -> None:
        """Decide what is due, until cancelled."""
        while True:
            self._woken.clear()
            try:
                wake_at = self.decide_due(time())
            except StorageError as error:
                self._journal.complain(f"schedules cannot be written, trying again: {error}")
                wake_at = time() + 1.0
            await asyncio.sleep(0)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(LONGEST, wake_at - time()))):
                    await self._woken.wait()

    def decide_due(self, now: float, most: int = MOST) -> float:
        """Decide the schedules that are due at `now`, at most so many; returns when to look again. Raises
        StorageError."""
        times = self._times()
        if now < self._looked_at:  # the clock was set back: RETRY counts from now
            for key in self._complained:
                times.set(key, 0.0)
        self._looked_at = now
        for _ in range(most):
            first = times.first()
            if first is None or first[0] > now:
                break
            self.decide(first[1], now)
        first = times.first()
        return NEVER if first is None else first[0]

    def decide(self, key: str, now: float) -> None:
        """Decide one schedule. Raises StorageError."""
        schedule = self._journal.database.schedules.get(key)
        wake_at = None
        if schedule is not None:
            try:
                wake_at = self._decide(schedule, now)
                self._complained.pop(key, None)
            except BadSchedule as error:
                wake_at = now + RETRY
                if not 0 <= now - self._complained.get(key, -DAY) < DAY:
                    self._complained[key] = now
                    self._journal.complain(f"schedule {key} cannot be read: {error}")
        else:
            self._complained.pop(key, None)
        if wake_at is None:
            self._times().discard(key)
        else:
            self._times().set(key, wake_at)

    def first_due(self, number: int) -> list[ScheduleRecord]:
        """The schedules that are due next, so many at most. Raises StorageError."""
        found = (self._journal.database.schedules.get(key) for key in self._times().in_order())
        due = (one for one in found if one is not None and one.next_due is not None)
        return sorted(islice(due, number), key=lambda one: one.next_due or 0.0)

    def _times(self) -> WakeTimes:
        """When each schedule is to be decided. The first call reads every schedule; one whose row has another due
        time than follows from its cron line is looked at now."""
        if self._wakes is None:
            times = WakeTimes()
            for one in self._journal.database.schedules.where():
                wake_at: float | None = 0.0
                with suppress(BadSchedule):
                    found = upcoming(one.id, timing_of(one), one.decided)
                    if one.next_due == (None if one.paused or found.due is None else float(found.due)):
                        wake_at = found.wake_at
                if wake_at is not None:
                    times.set(one.id, wake_at)
            self._wakes = times
        return self._wakes

    def _decide(self, schedule: ScheduleRecord, now: float) -> float | None:
        found = decide(schedule.id, timing_of(schedule), schedule.decided, now, self._load(schedule))
        next_due = None if found.next_due is None or schedule.paused else float(found.next_due)
        if found.ticks or found.decided != schedule.decided or next_due != schedule.next_due:
            self._write(replace(schedule, decided=found.decided, next_due=next_due), found)
        return found.wake_at

    def _load(self, schedule: ScheduleRecord) -> Load:
        runs = self._journal.database.runs
        active = {state: runs.count(schedule=schedule.id, state=state) for state in ACTIVE}
        room = self._config.max_queued - runs.count(state=RunState.QUEUED)
        return Load(sum(active.values()), active[RunState.QUEUED], room)

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
