"""The service: jobs, runs, schedules and tokens of one data folder. Routes, pages and metrics call nothing else.

    DATA/service.sqlite        jobs, schedules, runs, ticks, token hashes: crawler/service/database.py
    DATA/service.lock          flock of the process that serves it
    DATA/token                 the first token
    DATA/runs/<run>/           crawl directories, with <run>.json and <run>.log beside them

Rules:
- Crash-only: there is no way to stop it that a kill does not have, too. Processes of runs end with it, and a service
  that starts resumes every run that had not ended.
- All of it runs on one event loop. Methods that only read and write rows do not wait for anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Any

import msgspec
from msgspec.structs import replace

from crawler.service.broadcast import Broadcast
from crawler.service.config import ServiceConfig
from crawler.service.core.states import FINAL, RunReason, RunState
from crawler.service.database import FILE, ServiceDatabase
from crawler.service.errors import Conflict, Invalid, NotFound, QueueFull
from crawler.service.identifiers import PATTERN, Identifiers
from crawler.service.job_catalog import JobCatalog
from crawler.service.job_settings import check_settings
from crawler.service.kept_runs import KeptRuns
from crawler.service.on_end import EndNotifier
from crawler.service.records import (
    JobRecord,
    JobSpec,
    Listing,
    NewToken,
    Overview,
    RunLimits,
    RunProgress,
    RunRecord,
    ScheduleRecord,
    ScheduleSpec,
    ServiceEvent,
    StoredRun,
    TickRecord,
    TokenRecord,
    TokenScope,
    Transition,
)
from crawler.service.run_file import RUNS, log_file
from crawler.service.run_journal import RunJournal
from crawler.service.run_starts import RunStarts
from crawler.service.schedule_catalog import ScheduleCatalog
from crawler.service.supervisor import Supervisor
from crawler.service.timetable import Timetable
from crawler.service.tokens import Tokens
from crawler.storage.database import PRIVATE, storage_errors
from crawler.storage.generations import folder_of
from crawler.system.file_lock import FileLock
from crawler.system.stderr import write_nonblocking

LOCK = "service.lock"
LOCK_PATIENCE = 2.0
LISTED = 10
LOOKED_AT = 200
TROUBLES = frozenset({RunReason.DEGRADED, RunReason.INCOMPLETE})


class Service:
    """An open data folder. `events` tells of every change."""

    def __init__(self, data: Path, config: ServiceConfig, database: ServiceDatabase, lock: FileLock) -> None:
        secrets_dir = None if config.secrets_dir is None else Path(config.secrets_dir)
        self.events = Broadcast()
        self._data = data
        self._config = config
        self._database = database
        self._lock = lock
        last = max(
            (table.last().partition("_")[2], table.last())
            for table in (database.jobs, database.runs, database.schedules, database.tokens)
        )[1]
        self._journal = RunJournal(database, self.events, Identifiers(last))
        self._secrets_dir = secrets_dir
        self._starts = RunStarts(self._journal, data)
        self._supervisor = Supervisor(self._journal, self._starts, config, data, secrets_dir)
        self._timetable = Timetable(
            self._journal, self._starts, config, self._supervisor.cancel_overlapping, self._supervisor.wake
        )
        self._jobs = JobCatalog(self._journal, secrets_dir)
        self._schedules = ScheduleCatalog(self._journal, self._jobs, self._timetable)
        self._tokens = Tokens(self._journal, data)
        self._kept = KeptRuns(self._journal, config, data)
        self._notifier = EndNotifier(self._journal, config, data)
        self._supervisor.on_end = self._on_end
        self._seen: Overview | None = None
        self.events.watch(self._forget_overview)
        self._running = False
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.token_file = self._tokens.ensure_first()

    @classmethod
    async def open(cls, data: Path, config: ServiceConfig, rebuild: bool = False) -> Service:
        """Open or create a data folder; `rebuild` replaces its database first, see rebuild.py. Raises Locked, Corrupt
        or StorageError, with what to do."""
        with storage_errors(data):
            (data / RUNS).mkdir(PRIVATE, parents=True, exist_ok=True)
        lock = FileLock(data / LOCK)
        lock.acquire(f"the data folder {data}", LOCK_PATIENCE)
        try:
            if rebuild:
                from crawler.service.rebuild import rebuild_database

                found = rebuild_database(data)
                write_nonblocking(f"rebuilt {found.runs} runs of {found.jobs} jobs; add schedules and tokens again")
            return cls(data, config, ServiceDatabase(data / FILE), lock)
        except BaseException:
            lock.release()
            raise

    async def run_forever(self) -> None:
        """Resume what was running, then serve runs and schedules until `close`. Raises StorageError at the start."""
        if self._stopping.is_set():
            return
        self._supervisor.recover()
        loops = [self._supervisor.run(), self._timetable.run(), self._kept.run(), self._notifier.run()]
        tasks = [asyncio.create_task(loop) for loop in loops]
        stopping = asyncio.create_task(self._stopping.wait())
        self._idle.clear()
        self._running = True
        try:
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._running = False
            await self._supervisor.close()
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            self._idle.set()

    async def close(self) -> None:
        """End `run_forever`, and with it the processes of all runs; close the files."""
        self._stopping.set()
        self.events.close()
        await self._idle.wait()
        self._database.close()
        self._lock.release()

    def ready(self) -> bool:
        """Whether it can start runs."""
        return self._running and not self._stopping.is_set()

    def _on_end(self, run: RunRecord) -> None:
        self._kept.wake(run.directory)
        self._notifier.wake()

    # ---- jobs --------------------------------------------------------------------------------------------------------

    async def jobs(self, tag: str | None = None, cursor: str | None = None, limit: int = 100) -> Listing[JobRecord]:
        """Jobs in the order of their names, those with a tag or all."""
        return self._jobs.page(tag, cursor, limit)

    async def job(self, ref: str) -> JobRecord:
        """A job by its id or name. Raises NotFound."""
        return self._jobs.get(ref)

    async def add_job(self, spec: JobSpec) -> JobRecord:
        """A new job. Raises Conflict, Invalid."""
        return self._jobs.add(spec)

    async def change_job(self, ref: str, patch: Mapping[str, Any]) -> JobRecord:
        """A job with a merge patch (RFC 7396) applied. Raises Conflict, Invalid, NotFound."""
        return self._jobs.change(ref, patch)

    async def remove_job(self, ref: str) -> None:
        """Remove a job and its schedules. Raises Conflict, NotFound."""
        self._jobs.remove(ref)

    # ---- runs --------------------------------------------------------------------------------------------------------

    async def start(
        self,
        job_ref: str,
        mode: str | None = None,
        idempotency_key: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> RunRecord:
        """Queue a run of a job, with other settings on top. With a key that was used before, the run of that time.
        Raises Invalid, also where that was another request, NotFound, QueueFull."""
        job = self._jobs.get(job_ref)
        changes = {**(settings or {}), **({"mode": mode} if mode else {})}
        fingerprint = sha256(msgspec.json.encode([job.id, changes], order="deterministic")).hexdigest()
        known = self._database.request(idempotency_key) if idempotency_key else None
        if known:
            if known[0] != fingerprint:
                raise Invalid("Idempotency-Key", "this key was used for another request; choose a new one")
            return self._journal.get(known[1])
        if changes:
            check_settings({**job.settings, **changes}, self._secrets_dir)
        self._check_queue()
        with self._journal.transaction():
            run = self._starts.create(job, changes)
            if idempotency_key:
                self._database.add_request(idempotency_key, fingerprint, run.id, time())
        self._supervisor.wake()
        return run

    async def runs(
        self,
        job: str | None = None,
        state: RunState | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Listing[RunRecord]:
        """Runs, newest first. Raises Invalid for a cursor that is none, NotFound for a name that no job has."""
        values: dict[str, Any] = {} if state is None else {"state": state}
        if job is not None:
            values["job"] = job if PATTERN.fullmatch(job) else self._jobs.get(job).id
        return self._database.runs.page(cursor, limit, **values)

    async def run(self, key: str) -> RunRecord:
        """A run. Raises NotFound."""
        return self._journal.get(key)

    async def transitions(self, key: str) -> list[Transition]:
        """The states of a run with their times. Raises NotFound."""
        self._journal.get(key)
        return self._database.transitions(key)

    async def pause(self, key: str) -> RunRecord:
        """Let no fetch start. Raises Conflict, NotFound."""
        return self._supervisor.pause(key)

    async def resume(self, key: str) -> RunRecord:
        """Let a paused run go on. Raises Conflict, NotFound."""
        return self._supervisor.resume(key)

    async def stop(self, key: str) -> RunRecord:
        """Let a run drain and end. Raises Conflict, NotFound."""
        return self._supervisor.stop(key)

    async def cancel(self, key: str, force: bool = False) -> RunRecord:
        """End a run without draining; `force` kills it. Raises Conflict, NotFound."""
        return self._supervisor.cancel(key, force)

    async def retry(self, key: str) -> RunRecord:
        """Go on in the directory of a run that has ended. Raises Conflict, NotFound, QueueFull."""
        run = self._journal.get(key)
        if run.state not in FINAL:
            raise Conflict("only a run that has ended can be tried again", run.state)
        if run.removed:
            raise Conflict("the crawl directory of this run is gone; start a new run", run.state)
        if any(one.directory == run.directory for one in self._database.active_runs()):
            raise Conflict("another run works in the directory of this one already", run.state)
        last = max(
            one.generation or 0 for one in self._database.runs.page(None, LOOKED_AT, directory=run.directory).items
        )
        if last > (run.generation or 0):
            raise Conflict(f"generation {last} follows that of this run; start a new run of the job", run.state)
        job = self._jobs.get(run.job)
        self._check_queue()
        with self._journal.transaction():
            again = self._journal.retry(run, job, attempt=run.attempt + 1)
        self._supervisor.wake()
        return again

    async def set_limits(self, key: str, limits: RunLimits) -> RunLimits:
        """Limit a run while it runs. Raises Conflict, NotFound."""
        return self._supervisor.set_limits(key, limits)

    async def progress(self, key: str) -> RunProgress | None:
        """How far a run is; None where it has no process or has told nothing yet."""
        return self._supervisor.progress(key)

    async def history(self, key: str) -> list[RunProgress]:
        """Its last progress, oldest first."""
        return self._supervisor.history(key)

    def directory(self, key: str) -> Path:
        """The crawl directory of a run: the folder of its generation. Raises Conflict where a run that crawls again has
        not begun, NotFound, also where it is gone."""
        run = self._journal.get(key)
        if run.removed:
            raise NotFound("crawl directory any more of run", key)
        if run.recrawl and run.generation is None:
            raise Conflict("this run has not begun, so it has no generation yet; ask again", "no_directory")
        return folder_of(self._data / run.directory, run.generation or 0)

    def log_file(self, key: str) -> Path:
        """The log of a run, which may not be there yet. Raises NotFound."""
        return log_file(self._data, self._journal.get(key).id)

    def _check_queue(self) -> None:
        if self._database.runs.count(state=RunState.QUEUED) >= self._config.max_queued:
            raise QueueFull(self._config.max_queued)

    # ---- schedules ---------------------------------------------------------------------------------------------------

    async def schedules(self, cursor: str | None = None, limit: int = 100) -> Listing[ScheduleRecord]:
        """Schedules, newest first. Raises Invalid for a cursor that is none."""
        return self._schedules.page(cursor, limit)

    async def schedule(self, key: str) -> ScheduleRecord:
        """A schedule. Raises NotFound."""
        return self._schedules.get(key)

    async def add_schedule(self, spec: ScheduleSpec) -> ScheduleRecord:
        """A new schedule. Raises Invalid, NotFound."""
        return self._schedules.add(spec)

    async def change_schedule(self, key: str, patch: Mapping[str, Any]) -> ScheduleRecord:
        """A schedule with a merge patch (RFC 7396) applied. Raises Invalid, NotFound."""
        return self._schedules.change(key, patch)

    async def remove_schedule(self, key: str) -> None:
        """Remove a schedule and its ticks; its runs stay. Raises NotFound."""
        self._schedules.remove(key)

    async def pause_schedule(self, key: str) -> ScheduleRecord:
        """From now on its ticks are rows that say so. Raises NotFound."""
        return self._schedules.change(key, {"paused": True})

    async def resume_schedule(self, key: str) -> ScheduleRecord:
        """From now on its ticks are runs again. Raises NotFound."""
        return self._schedules.change(key, {"paused": False})

    async def run_schedule(self, key: str) -> RunRecord:
        """Queue a run of its job now. Raises NotFound, QueueFull."""
        schedule = self._schedules.get(key)
        job = self._jobs.get(schedule.job)
        self._check_queue()
        with self._journal.transaction():
            run = self._starts.create(job, {}, schedule=schedule.id)
        self._supervisor.wake()
        return run

    async def next_due(self, key: str, n: int = 10) -> list[float]:
        """When a schedule is due the next times. Raises NotFound."""
        return self._schedules.next_due(key, n)

    async def ticks(self, key: str, cursor: str | None = None, limit: int = 100) -> Listing[TickRecord]:
        """What became of its ticks, newest first. Raises Invalid, NotFound."""
        return self._schedules.ticks(key, cursor, limit)

    # ---- all of it ---------------------------------------------------------------------------------------------------

    async def overview(self) -> Overview:
        """What runs, what waits, what is due and what went wrong lately."""
        if self._seen is None:
            self._seen = self._look()
        return replace(self._seen, disk_free=self._supervisor.disk_free(), disk_full=self._supervisor.disk_full)

    def _look(self) -> Overview:
        active = self._database.active_runs()
        lately = self._database.runs.page(None, LOOKED_AT).items
        bad = (RunState.FAILED, RunState.INTERRUPTED)
        return Overview(
            running=[run for run in active if run.state is not RunState.QUEUED],
            queued=[run for run in active if run.state is RunState.QUEUED],
            due=self._timetable.first_due(LISTED),
            troubles=[run for run in lately if run.state in bad or run.reason in TROUBLES][:LISTED],
            disk_free=0,
            disk_full=False,
        )

    def _forget_overview(self, event: ServiceEvent) -> None:
        """Progress changes no row; whatever does is told with an event of another type."""
        if event.type != "progress":
            self._seen = None

    async def storage(self) -> list[StoredRun]:
        """What each run keeps on disk, and which are removed next."""
        return await self._kept.stored()

    async def tokens(self) -> list[TokenRecord]:
        """Every token, without its secret."""
        return self._tokens.all()

    async def add_token(self, name: str, scope: TokenScope) -> NewToken:
        """A new token, with its secret. Raises Conflict."""
        return self._tokens.add(name, scope)

    async def revoke_token(self, key: str) -> None:
        """Refuse a token from now on. Raises NotFound."""
        self._tokens.revoke(key)

    async def check_token(self, secret: str) -> TokenScope | None:
        """What a token may do; None where it is none."""
        return self._tokens.scope_of(sha256(secret.encode("utf-8", "surrogatepass")).hexdigest())

    async def check_digest(self, digest: str) -> TokenScope | None:
        """`check_token`, by the SHA-256 of the token in hexadecimal."""
        return self._tokens.scope_of(digest)
