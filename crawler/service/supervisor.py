"""Starts the runs that may start, follows their processes, and writes what becomes of them.

Rules:
- A change is committed before it is acted on: a run is `starting` before its process is, `stopping` before it is told.
  So whatever moment the service is killed in, the next one finds what it has to do. It adopts no process: those of the
  one before have ended with it (crawler/service/child.py).
- core/run_admission.py chooses the runs that start. The reach of a run has the hosts that its process tells of, too.
- A stop lets the crawl drain. After `stop_timeout` its process gets SIGTERM, after `kill_timeout` its group SIGKILL; a
  cancel begins with SIGTERM, a forced one with SIGKILL. A crawl survives all three.
- Below `disk_floor` every run pauses and none starts, until there is EASE times as much room.
- A process that cannot be started fails its run; an error of our own database ends nothing: it is told, and tried again
  with the next look.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Any

from crawler.errors import CrawlerError, StorageError
from crawler.service.capped_log import CappedLog
from crawler.service.child import ChildExit, ChildProcess
from crawler.service.config import ServiceConfig
from crawler.service.core.run_admission import QueuedRun, RestingHosts, RunReach, admit
from crawler.service.core.states import FINAL, RunEvent, RunReason, RunState
from crawler.service.errors import Conflict, NotFound
from crawler.service.job_settings import delay_of, for_child, reach
from crawler.service.protocol import (
    AnyMessage,
    ChildEnded,
    ChildProgress,
    ChildStarted,
    LimitRun,
    PauseRun,
    ResumeRun,
    StopRun,
)
from crawler.service.records import RunLimits, RunProgress, RunRecord
from crawler.service.run_conclusions import RunConclusions
from crawler.service.run_file import RunFile, log_file, run_file, write_run_file
from crawler.service.run_journal import RunJournal
from crawler.service.run_starts import RunStarts
from crawler.system.text import escape_unprintable, format_bytes

HISTORY = 600
"""Progress that is kept of a run: the last ten minutes."""
LOOK = 1.0
"""Seconds between two looks at the disk and the queue."""
EASE = 1.25
LONGEST_REST = 60.0
"""Seconds that hosts rest after a run, at most."""
LAST_PATIENCE = 2.0
"""Seconds in which a process ends by itself once its stdin is closed."""


class ActiveRun:
    """A run with a process, or about to have one."""

    def __init__(self, reach: RunReach, crashes: int) -> None:
        self.reach = reach
        self.crashes = crashes
        self.child: ChildProcess | None = None
        self.ending: ChildEnded | None = None
        self.progress: RunProgress | None = None
        self.history: deque[RunProgress] = deque(maxlen=HISTORY)
        self.deadlines: asyncio.Task[None] | None = None
        self.patience: float | None = None  # for a drain, once a stop is asked for
        self.force = False


class Supervisor:
    """The runs of one data folder."""

    def __init__(
        self, journal: RunJournal, starts: RunStarts, config: ServiceConfig, data: Path, secrets_dir: Path | None
    ) -> None:
        self.disk_full = False
        self._journal = journal
        self._starts = starts
        self._config = config
        self._data = data
        self._secrets_dir = secrets_dir
        self._conclusions = RunConclusions(journal, data)
        self._active: dict[str, ActiveRun] = {}
        self._resting: list[RestingHosts] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._closing = False
        self.on_end: Callable[[RunRecord], None] = lambda run: None
        journal.has_child = self._active.__contains__

    # ---- start of the service, main loop -----------------------------------------------------------------------------

    def recover(self) -> None:
        """The service has started: decide for each run that had not ended. Raises StorageError."""
        with self._journal.transaction():
            for run in self._journal.database.active_runs():
                gone = run.started_at is not None and not (self._data / run.directory).is_dir()
                self._journal.apply(run.id, RunEvent.LOST if gone else RunEvent.SERVICE_STARTED, crashes=0)

    async def run(self) -> None:
        """Start runs as they may, and watch the disk, until cancelled."""
        while True:
            self._woken.clear()
            try:
                self._watch_disk()
                wake_at = self._admit()
            except StorageError as error:
                wake_at = None
                self._journal.complain(f"cannot write the database: {error}")
            wait = LOOK if wake_at is None else max(0.0, min(LOOK, wake_at - time()))
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._woken.wait()

    def wake(self) -> None:
        """Something has changed that may let a run start."""
        self._woken.set()

    async def close(self) -> None:
        """End every process, as a kill of this one would; the next start resumes the runs."""
        self._closing = True
        for one in self._active.values():
            if one.child is not None:
                one.child.abandon()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=LAST_PATIENCE)
        for one in self._active.values():
            if one.child is not None:
                one.child.kill()
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    # ---- what may be asked of a run ----------------------------------------------------------------------------------

    def pause(self, key: str) -> RunRecord:
        """Let no fetch start. Raises Conflict, NotFound."""
        run = self._change(key, RunEvent.PAUSE)
        self._order(key, PauseRun())
        return run

    def resume(self, key: str) -> RunRecord:
        """Let a paused run go on. Raises Conflict, NotFound."""
        run = self._change(key, RunEvent.RESUME)
        self._order(key, ResumeRun())
        if self.disk_full and run.state is RunState.RUNNING:
            run = self._change(key, RunEvent.DISK_FULL)
            self._order(key, PauseRun())
        self.wake()
        return run

    def stop(self, key: str) -> RunRecord:
        """Let a run drain and end. Raises Conflict, NotFound."""
        run = self._change(key, RunEvent.STOP)
        self.enforce(run)
        return run

    def cancel(self, key: str, force: bool = False) -> RunRecord:
        """End a run without letting it drain; `force` kills it. Raises Conflict, NotFound."""
        run = self._change(key, RunEvent.CANCEL)
        self.enforce(run, now=True, force=force)
        return run

    def set_limits(self, key: str, limits: RunLimits) -> RunLimits:
        """Limit a run while it runs, also one that is paused or waits. Raises Conflict, NotFound."""
        run = self._journal.get(key)
        if run.state in FINAL:
            raise Conflict("the run has ended: limits are for runs that go on", run.state)
        with self._journal.transaction():
            self._journal.update(key, limits=limits)
        self._order(key, _order_of(limits))
        return limits

    def progress(self, key: str) -> RunProgress | None:
        """How far a run is; None where it has no process or has told nothing yet."""
        one = self._active.get(key)
        return None if one is None else one.progress

    def history(self, key: str) -> list[RunProgress]:
        """Its last progress, oldest first."""
        one = self._active.get(key)
        return [] if one is None else list(one.history)

    def enforce(self, run: RunRecord, now: bool = False, force: bool = False) -> None:
        """Carry out a stop or cancel that is committed: `now` without draining, `force` with a kill."""
        one = self._active.get(run.id)
        if one is not None and run.state is RunState.STOPPING:
            one.force = one.force or force
            one.patience = 0.0 if now or one.patience == 0.0 else self._config.stop_timeout
            if one.child is not None:
                one.child.order(StopRun())
                if one.deadlines is not None:
                    one.deadlines.cancel()
                one.deadlines = self._spawn(self._end(one.child, one.patience, one.force))
        self.wake()

    def cancel_overlapping(self, run: RunRecord) -> None:
        """End a run because the next one of its schedule is due; that is committed."""
        self.enforce(run, now=True)
        if run.state in FINAL:
            self.on_end(run)

    async def _end(self, child: ChildProcess, patience: float, force: bool) -> None:
        if not force:
            await asyncio.sleep(patience)
            child.terminate()
            await asyncio.sleep(self._config.kill_timeout)
        child.kill()

    def _change(self, key: str, event: RunEvent, reason: RunReason | None = None, **fields: Any) -> RunRecord:
        with self._journal.transaction():
            run = self._journal.apply(key, event, reason, **fields)
        if run.state in FINAL:
            self.on_end(run)
        return run

    def _order(self, key: str, order: Any) -> None:
        one = self._active.get(key)
        if one is not None and one.child is not None:
            one.child.order(order)

    # ---- admission and the disk --------------------------------------------------------------------------------------

    def _admit(self) -> float | None:
        """Start the runs that may start; returns when the next retry is due."""
        if self.disk_full or self._closing:
            return None
        waiting = self._journal.database.runs.where(state=RunState.QUEUED)
        if not waiting:
            return None
        reaches = {run.id: _reach_of(run) for run in waiting}
        queued = [QueuedRun(run.id, reaches[run.id], run.not_before or 0.0) for run in waiting]
        running, now = [self._reach(one) for one in self._active.values()], time()
        self._resting = [one for one in self._resting if now < one.until <= now + LONGEST_REST]  # the clock may jump
        found = admit(queued, running, self._config.max_running, now, self._resting)
        for key in found.start:
            starts = self._journal.get(key).starts + 1
            run = self._change(key, RunEvent.START, starts=starts, generation=self._starts.generation(key))
            self._active[key] = ActiveRun(reaches[key], run.crashes)
            self._spawn(self._follow(run, self._active[key]))
        return found.wake_at

    def _reach(self, one: ActiveRun) -> RunReach:
        """Where a run may ask: its own reach, and the hosts that its process has told of."""
        if one.progress is None or one.reach.everything:
            return one.reach
        met = reach({}, [host.host for host in one.progress.top_hosts])
        return one.reach._replace(hosts=one.reach.hosts | met.hosts, domains=one.reach.domains | met.domains)

    def _let_rest(self, key: str, one: ActiveRun) -> None:
        """The hosts of a run whose process has ended rest as long as after a request of it."""
        with suppress(CrawlerError):  # settings that cannot be read: its process has asked no host
            run = self._journal.get(key)
            seconds = min(LONGEST_REST, max(delay_of(run.settings), run.limits.delay or 0.0))
            if seconds > 0.0:
                self._resting.append(RestingHosts(self._reach(one)._replace(directory=""), time() + seconds))

    def disk_free(self) -> int:
        """Bytes that are free for crawls; 0 where that cannot be told."""
        try:
            disk = os.statvfs(self._data)
        except OSError:
            return 0
        return disk.f_bavail * disk.f_frsize

    def _watch_disk(self) -> None:
        free = self.disk_free()
        floor = self._config.floor
        if not self.disk_full and free < floor:
            self.disk_full = True
            self._journal.tell_disk(free, full=True)
            self._journal.complain(
                f"only {format_bytes(free)} are free on the disk of {self._data}, less than disk_floor: all runs pause"
            )
        elif self.disk_full and free >= EASE * floor:
            self.disk_full = False
            self._journal.tell_disk(free, full=False)
        self._pause_for_disk()

    def _pause_for_disk(self) -> None:
        """Pause what runs while the disk is full; let go on what was paused for it once it is not."""
        for run in self._journal.database.runs.where(state=RunState.RUNNING if self.disk_full else RunState.PAUSED):
            if self.disk_full:
                self._change(run.id, RunEvent.DISK_FULL)
                self._order(run.id, PauseRun())
            elif run.reason is RunReason.DISK:
                self._change(run.id, RunEvent.DISK_FREE)
                self._order(run.id, ResumeRun())

    # ---- one process -------------------------------------------------------------------------------------------------

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._journal.complain(f"this is a bug of the service: {type(error).__name__}: {error}")

    async def _follow(self, run: RunRecord, one: ActiveRun) -> None:
        """From the start of a process to what its end means."""
        try:
            try:
                one.child = await self._start(run)
            except (OSError, CrawlerError) as error:
                code = error.exit_code if isinstance(error, CrawlerError) else StorageError.exit_code
                found = ChildExit(code, None, escape_unprintable(f"the run could not be started: {error}"))
            else:
                self._obey_by_now(run.id, one)
                found = await one.child.ended()
                self._let_rest(run.id, one)
            if not self._closing:
                await self._conclude(run.id, one, found)
        finally:
            if one.deadlines is not None:
                one.deadlines.cancel()
            self._active.pop(run.id, None)
            self.wake()

    async def _start(self, run: RunRecord) -> ChildProcess:
        directory = self._data / run.directory
        job = self._journal.database.jobs.get(run.job)
        if job is None:
            raise NotFound("job", run.job_name)
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = run_file(self._data, run.id)
        settings = for_child(run.settings, self._secrets_dir)
        if run.recrawl and self._config.keep_runs is not None:
            settings.setdefault("keep_generations", self._config.keep_runs)
        write_run_file(file, RunFile(run=run, job=job, settings=settings))
        log = CappedLog(log_file(self._data, run.id), self._config.most_log)
        command = ["-m", "crawler", "supervised", str(directory), "--run", str(file)]
        return await ChildProcess.start(command, log, lambda message: self._hear(run.id, message))

    def _obey_by_now(self, key: str, one: ActiveRun) -> None:
        """Tell a process that has just started what was asked of its run before."""
        run = self._journal.get(key)
        if run.limits != RunLimits():
            self._order(key, _order_of(run.limits))
        self.enforce(run)
        if self._closing and one.child is not None:
            one.child.abandon()

    def _hear(self, key: str, message: AnyMessage) -> None:
        one = self._active.get(key)
        if one is None:
            return
        match message:
            case ChildProgress():
                one.progress = message.progress
                one.history.append(message.progress)
                self._forget_crashes(key, one, message.progress)
                self._journal.tell_progress(key, message.progress)
            case ChildEnded():
                one.ending = message
            case ChildStarted():
                self._started(key, message)

    def _forget_crashes(self, key: str, one: ActiveRun, progress: RunProgress) -> None:
        """A page was fetched: whatever ends the process next, the crashes before it are no row any more."""
        if progress.pages and one.crashes:
            with suppress(StorageError), self._journal.transaction():  # else with the next progress
                self._journal.update(key, crashes=0)
                one.crashes = 0

    def _started(self, key: str, message: ChildStarted) -> None:
        run = self._journal.get(key)
        try:
            self._change(key, RunEvent.STARTED, mode=message.mode, started_at=run.started_at or time())
            self._pause_for_disk()
        except (Conflict, StorageError) as error:
            self._journal.complain(f"run {key}: its start could not be recorded: {error}")

    async def _conclude(self, key: str, one: ActiveRun, found: ChildExit) -> None:
        """Write what the end of a process means, again and again where the database cannot be written."""
        while True:
            try:
                pages = 0 if one.progress is None else one.progress.pages
                run = self._conclusions.write(key, found, one.ending, pages)
                break
            except StorageError as error:
                self._journal.complain(f"run {key}: its end could not be recorded, trying again: {error}")
                await asyncio.sleep(LOOK)
                if self._closing:  # the next service finds out
                    return
        if run.state in FINAL:
            self.on_end(run)


def _reach_of(run: RunRecord) -> RunReach:
    """The hosts that a run may ask, as far as its settings can be read; otherwise its process will refuse them."""
    try:
        return reach(run.settings, directory=run.directory)
    except CrawlerError:
        return RunReach(directory=run.directory)


def _order_of(limits: RunLimits) -> LimitRun:
    return LimitRun(limits.delay, limits.concurrency, limits.per_host)
