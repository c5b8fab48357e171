"""Makes a new `service.sqlite` from what lies beside the crawl directories (`serve --rebuild`).

Rules:
- The old file is moved aside, never removed: somebody may still read it.
- `<run>.json` has the run and its job. A run that had not ended is queued: its process goes on with the crawl, or finds
  that it is complete.
- A crawl directory without such a file becomes a run that has ended, of a job of its own, with what its manifest and
  its counts tell; of generations, with what the last one tells.
- Schedules and tokens are in no directory. They have to be added again; the token in `DATA/token` stays valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from crawler.core.reasons import Ending
from crawler.errors import CrawlerError
from crawler.service.core.states import FINAL, RunReason, RunState
from crawler.service.database import FILE, ServiceDatabase
from crawler.service.identifiers import PATTERN, Identifiers
from crawler.service.records import Expect, JobRecord, OnEnd, Retry, RunRecord, Transition
from crawler.service.run_file import RUNS, read_run_file
from crawler.storage.database import storage_errors
from crawler.storage.directory import CrawlDirectory, free_name
from crawler.storage.generations import last_of

STATES = {
    Ending.COMPLETE: (RunState.SUCCEEDED, RunReason.COMPLETE),
    Ending.INCOMPLETE: (RunState.SUCCEEDED, RunReason.INCOMPLETE),
    Ending.LIMIT: (RunState.LIMITED, RunReason.LIMIT),
    Ending.FAILED: (RunState.FAILED, RunReason.NOTHING_FETCHED),
    Ending.STOPPED: (RunState.CANCELLED, RunReason.DRAINED),
}


class Rebuilt(NamedTuple):
    """What was found: how many jobs and runs, and where the old file is now (None where there was none)."""

    jobs: int
    runs: int
    kept: Path | None


def rebuild_database(data: Path) -> Rebuilt:
    """Replace the database of a data folder, whose lock the caller holds. Raises StorageError."""
    kept = _move_aside(data / FILE)
    database = ServiceDatabase(data / FILE)
    try:
        with database.transaction():
            found = list(_found(data / RUNS))
            for run, job in found:
                _write(database, run, job)
        return Rebuilt(len({job.id for _, job in found}), len(found), kept)
    finally:
        database.close()


def _move_aside(path: Path) -> Path | None:
    if not path.exists():
        return None
    aside = free_name(path.with_name(f"{path.name}.broken"))
    with storage_errors(path):
        for end in ("-wal", "-shm", ""):  # the file itself last: a kill in between leaves it to be moved again
            beside = path.with_name(f"{path.name}{end}")
            if beside.exists():
                beside.replace(aside.with_name(f"{aside.name}{end}"))
    return aside


def _found(folder: Path) -> Iterator[tuple[RunRecord, JobRecord]]:
    """Each run with its job, oldest first: so the last one tells how a job is now."""
    described = set[str]()
    for path in sorted(folder.glob("run_*.json")):
        content = read_run_file(path)
        if content is not None and PATTERN.fullmatch(content.run.id):
            described.add(content.run.directory)
            run = content.run
            if run.state not in FINAL:
                run = replace(run, state=RunState.QUEUED, reason=RunReason.RESTART)
            yield run, content.job
    identifiers = Identifiers()
    for path in sorted(folder.glob("run_*")):
        if path.is_dir() and f"{RUNS}/{path.name}" not in described:
            yield _of_directory(path, identifiers)


def _of_directory(path: Path, identifiers: Identifiers) -> tuple[RunRecord, JobRecord]:
    """A run that has ended, from what its crawl directory tells."""
    made = path.stat().st_mtime
    settings: dict[str, Any] = {}
    state, reason = RunState.INTERRUPTED, RunReason.LOST
    generation = 0
    try:
        directory = CrawlDirectory.open_readonly(last_of(path))
        generation = directory.generation
        settings = msgspec.to_builtins(directory.manifest.settings)
        state, reason = STATES[directory.tally().conclude(Ending.STOPPED).ending]
    except CrawlerError:
        pass  # it cannot be read: the run is told as lost
    job = JobRecord(
        id=identifiers.make("job", time()),
        name=f"found-{path.name}",
        settings=settings,
        tags=("found",),
        expect=Expect(),
        retry=Retry(),
        recrawl=generation > 0,
        on_end=OnEnd(),
        created_at=made,
        updated_at=made,
    )
    key = path.name if PATTERN.fullmatch(path.name) else identifiers.make("run", time())
    run = RunRecord(
        id=key,
        job=job.id,
        job_name=job.name,
        state=state,
        reason=reason,
        directory=f"{RUNS}/{path.name}",
        settings=settings,
        recrawl=generation > 0,
        generation=generation,
        created_at=made,
        started_at=made,
        ended_at=made,
    )
    return run, job


def _write(database: ServiceDatabase, run: RunRecord, job: JobRecord) -> None:
    same = database.jobs.where(name=job.name)
    if same and same[0].id != job.id:
        job = replace(job, name=f"{job.name}-{job.id}"[:100])
    database.jobs.put(job)
    database.runs.put(run)
    database.add_transition(Transition(run.id, run.state, run.reason, time()))
