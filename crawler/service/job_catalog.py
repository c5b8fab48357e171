"""The jobs of a service: added, changed, found, removed.

Rules:
- A job has an id and a name, and is found by either. A name is unique, and no name looks like an id.
- The settings are checked when a job is added or changed, see job_settings.py.
- A job with a run that has not ended is not removed. Its schedules go with it, its runs stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import time
from typing import Any

from msgspec.structs import replace

from crawler.service.core.states import ACTIVE
from crawler.service.errors import Conflict, Invalid, NotFound
from crawler.service.identifiers import PATTERN
from crawler.service.job_settings import check_settings
from crawler.service.merge_patch import patched
from crawler.service.record_table import MOST
from crawler.service.records import JobRecord, JobSpec, Listing
from crawler.service.run_journal import RunJournal


class JobCatalog:
    """The jobs in the database of a journal."""

    def __init__(self, journal: RunJournal, secrets_dir: Path | None) -> None:
        self._journal = journal
        self._jobs = journal.database.jobs
        self._secrets_dir = secrets_dir

    def get(self, ref: str) -> JobRecord:
        """A job by its id or name. Raises NotFound."""
        found = self._jobs.get(ref) if PATTERN.fullmatch(ref) else next(iter(self._jobs.where(name=ref)), None)
        if found is None:
            raise NotFound("job", ref)
        return found

    def page(self, tag: str | None, cursor: str | None, limit: int) -> Listing[JobRecord]:
        """Jobs in the order of their names, those with a tag or all; a cursor is the last name before."""
        most = max(1, min(limit, MOST))
        found: list[JobRecord] = []
        after: str | None = cursor or ""
        while after is not None and len(found) <= most:
            batch = self._jobs.after("name", after, most + 1)
            found += [job for job in batch if tag is None or tag in job.tags]
            after = batch[-1].name if len(batch) > most else None
        return Listing(found[:most], found[most - 1].name if len(found) > most else None)

    def add(self, spec: JobSpec) -> JobRecord:
        """A new job. Raises Conflict where the name is taken, Invalid."""
        self._check(spec, None)
        now = time()
        job = JobRecord(id=self._journal.make_id("job"), created_at=now, updated_at=now, **_fields(spec))
        return self._write(job)

    def change(self, ref: str, patch: Mapping[str, Any]) -> JobRecord:
        """A job with a patch applied; runs that exist keep what they have. Raises Conflict, Invalid, NotFound."""
        before = self.get(ref)
        spec = patched(JobSpec(**{key: getattr(before, key) for key in JobSpec.__struct_fields__}), patch)
        self._check(spec, before)
        return self._write(replace(before, updated_at=time(), **_fields(spec)))

    def remove(self, ref: str) -> None:
        """Remove a job and its schedules. Raises Conflict while a run of it has not ended, NotFound."""
        job = self.get(ref)
        database = self._journal.database
        active = [run for state in ACTIVE for run in database.runs.where(job=job.id, state=state)]
        if active:
            raise Conflict(f"run {active[0].id} of {job.name} has not ended; cancel it first", active[0].state)
        with self._journal.transaction():
            for schedule in database.schedules.where(job=job.id):
                database.remove_schedule(schedule.id)
                self._journal.tell("schedule", {"id": schedule.id, "removed": True})
            database.jobs.remove([job.id])
            self._journal.tell("job", {"id": job.id, "name": job.name, "removed": True})

    def _check(self, spec: JobSpec, before: JobRecord | None) -> None:
        if PATTERN.fullmatch(spec.name):
            raise Invalid("name", f"{spec.name} looks like an id; choose another name")
        same = self._jobs.where(name=spec.name)
        if same and (before is None or same[0].id != before.id):
            raise Conflict(f"there is a job {spec.name} already; choose another name", "exists")
        check_settings(spec.settings, self._secrets_dir)

    def _write(self, job: JobRecord) -> JobRecord:
        with self._journal.transaction():
            self._jobs.put(job)
            self._journal.tell("job", job)
        return job


def _fields(spec: JobSpec) -> dict[str, Any]:
    return {key: getattr(spec, key) for key in JobSpec.__struct_fields__}
