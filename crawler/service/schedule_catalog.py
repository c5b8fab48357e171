"""The schedules of a service: added, changed, paused, removed.

What is due by then is decided before a schedule changes, by the rules that it had until then. Nothing is decided twice
and nothing later by the old rules: a changed schedule begins with the present.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import Any

from msgspec.structs import replace

from crawler.service.core.schedules import BadSchedule, preview, validate
from crawler.service.errors import Invalid, NotFound
from crawler.service.job_catalog import JobCatalog
from crawler.service.merge_patch import patched
from crawler.service.record_table import MOST
from crawler.service.records import Listing, ScheduleRecord, ScheduleSpec, TickRecord
from crawler.service.run_journal import RunJournal
from crawler.service.timetable import Timetable


class ScheduleCatalog:
    """The schedules in the database of a journal."""

    def __init__(self, journal: RunJournal, jobs: JobCatalog, timetable: Timetable) -> None:
        self._journal = journal
        self._jobs = jobs
        self._timetable = timetable

    def get(self, key: str) -> ScheduleRecord:
        """A schedule. Raises NotFound."""
        found = self._journal.database.schedules.get(key)
        if found is None:
            raise NotFound("schedule", key)
        return found

    def page(self, cursor: str | None, limit: int) -> Listing[ScheduleRecord]:
        """Schedules, newest first. Raises Invalid for a cursor that is none."""
        return self._journal.database.schedules.page(cursor, limit)

    def add(self, spec: ScheduleSpec) -> ScheduleRecord:
        """A new schedule. Raises Invalid for a cron line or zone that cannot be used, NotFound."""
        now = time()
        schedule = ScheduleRecord(
            id=self._journal.make_id("sch"),
            created_at=now,
            updated_at=now,
            decided=int(now),
            next_due=None if spec.paused else _first_due(spec, now),
            **_fields(spec) | {"job": self._jobs.get(spec.job).id},
        )
        return self._write(schedule)

    def change(self, key: str, patch: Mapping[str, Any]) -> ScheduleRecord:
        """A schedule with a patch applied. Raises Invalid, NotFound."""
        self.get(key)
        now = time()
        self._timetable.decide(key, now)
        before = self.get(key)
        spec = patched(ScheduleSpec(**{name: getattr(before, name) for name in ScheduleSpec.__struct_fields__}), patch)
        due = _first_due(spec, now)
        fields = _fields(spec) | {"job": self._jobs.get(spec.job).id}
        decided = max(before.decided, int(now))
        next_due = None if spec.paused else due
        return self._write(replace(before, updated_at=now, decided=decided, next_due=next_due, **fields))

    def remove(self, key: str) -> None:
        """Remove a schedule and its ticks; its runs stay. Raises NotFound."""
        self.get(key)
        with self._journal.transaction():
            self._journal.database.remove_schedule(key)
            self._journal.tell("schedule", {"id": key, "removed": True})

    def next_due(self, key: str, number: int) -> list[float]:
        """When it is due the next times, without jitter; also where it is paused. Raises NotFound."""
        schedule = self.get(key)
        return [float(due) for due in preview(schedule.cron, schedule.zone, time(), number)]

    def ticks(self, key: str, cursor: str | None, limit: int) -> Listing[TickRecord]:
        """What became of its ticks, newest first. Raises Invalid for a cursor that is none, NotFound."""
        self.get(key)
        try:
            before = None if cursor is None else float(cursor)
        except ValueError:
            raise Invalid("cursor", "the cursor is not one of this list; leave it out to begin at the newest") from None
        return self._journal.database.ticks(key, before, max(1, min(limit, MOST)))

    def _write(self, schedule: ScheduleRecord) -> ScheduleRecord:
        with self._journal.transaction():
            self._journal.database.schedules.put(schedule)
            self._journal.tell("schedule", schedule)
        self._timetable.wake(schedule.id)
        return schedule


def _first_due(spec: ScheduleSpec, now: float) -> float:
    try:
        return float(validate(spec.cron, spec.zone, now))
    except BadSchedule as error:
        raise Invalid(error.key, str(error), error.nearest) from error


def _fields(spec: ScheduleSpec) -> dict[str, Any]:
    return {key: getattr(spec, key) for key in ScheduleSpec.__struct_fields__}
