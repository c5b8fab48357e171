"""Writes runs and every change of their state, and tells of them once that is committed.

Rules:
- core/states.py decides which changes there are. A change and its transition are written together, in the transaction
  of the caller: it may have more to write that belongs to it, such as the tick that started a run.
- What a run leads to when it ends is written with its end: the notice that is owed, and the run that tries again.
- Events go out after the commit. So no event tells of a change that a kill has undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import time
from typing import Any

import msgspec
from msgspec.structs import replace

from crawler.service.broadcast import Broadcast
from crawler.service.core.expectations import retry_wait
from crawler.service.core.states import FINAL, RunEvent, RunReason, RunState, TransitionRefused, transition
from crawler.service.database import ServiceDatabase
from crawler.service.errors import Conflict, NotFound
from crawler.service.identifiers import Identifiers
from crawler.service.records import JobRecord, RunProgress, RunRecord, ServiceEvent, Transition
from crawler.service.run_file import RUNS
from crawler.system.stderr import write_nonblocking
from crawler.system.text import escape_unprintable

AGAIN = 60.0
"""Seconds until a complaint is told again."""


class RunJournal:
    """The runs in the database. `has_child` tells whether a run has a process."""

    def __init__(
        self,
        database: ServiceDatabase,
        events: Broadcast,
        identifiers: Identifiers,
        has_child: Callable[[str], bool] = lambda run: False,
    ) -> None:
        self.database = database
        self.has_child = has_child
        self._events = events
        self._identifiers = identifiers
        self._pending: list[ServiceEvent] = []
        self._complained: dict[str, float] = {}

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Context manager: one transaction; its events go out after the commit. Raises StorageError."""
        try:
            with self.database.transaction():
                yield
        except BaseException:
            self._pending.clear()
            raise
        pending, self._pending = self._pending, []
        for event in pending:
            self._events.publish(event)

    def tell(self, kind: Any, record: Any) -> None:
        """Queue an event until the commit: `record` is what has changed."""
        self._pending.append(ServiceEvent(kind, time(), msgspec.to_builtins(record)))

    def tell_progress(self, run: str, progress: RunProgress) -> None:
        """Tell how far a run is."""
        self._publish("progress", {"run": run, **msgspec.to_builtins(progress)})

    def tell_disk(self, free: int, full: bool) -> None:
        """Tell that the disk is full, or has room again; `free` in bytes."""
        self._publish("disk", {"free": free, "full": full})

    def complain(self, text: str) -> None:
        """Tell the clients, and the log of the service, of what went wrong here; the same thing once a minute."""
        now = time()
        self._complained = {one: at for one, at in self._complained.items() if now - at < AGAIN}
        if text in self._complained:
            return
        self._complained[text] = now
        self._publish("notice", {"text": text})
        write_nonblocking(escape_unprintable(f"warning: {text}"))

    def _publish(self, kind: Any, told: dict[str, Any]) -> None:
        self._events.publish(ServiceEvent(kind, time(), told))

    def make_id(self, kind: str) -> str:
        """A new id."""
        return self._identifiers.make(kind, time())

    def get(self, key: str) -> RunRecord:
        """A run. Raises NotFound."""
        run = self.database.runs.get(key)
        if run is None:
            raise NotFound("run", key)
        return run

    # ---- changes, within a transaction -------------------------------------------------------------------------------

    def create(self, job: JobRecord, **fields: Any) -> RunRecord:
        """A new run that is queued; `fields` are those of the record that are not taken from its job."""
        key = self.make_id("run")
        usual: dict[str, Any] = {"directory": f"{RUNS}/{key}", "settings": job.settings, "recrawl": job.recrawl}
        run = RunRecord(
            id=key, job=job.id, job_name=job.name, state=RunState.QUEUED, created_at=time(), **(usual | fields)
        )
        self._write(run)
        return run

    def apply(self, key: str, event: RunEvent, reason: RunReason | None = None, **fields: Any) -> RunRecord:
        """Something happens to a run; `fields` of its record change with it. Raises Conflict where its state does not
        allow that, NotFound."""
        run = self.get(key)
        crashes = fields.get("crashes", run.crashes)
        change = transition(run.state, event, reason, before=run.reason, child=self.has_child(key), crashes=crashes)
        if isinstance(change, TransitionRefused):
            raise Conflict(str(change), run.state)
        if change.state in FINAL:
            fields["ended_at"] = time()
        run = replace(run, state=change.state, reason=change.reason, **fields)
        self._write(run)
        if run.state in FINAL:
            self._ended(run)
        return run

    def update(self, key: str, **fields: Any) -> RunRecord:
        """Change fields of a run that are not its state. Raises NotFound."""
        run = replace(self.get(key), **fields)
        self.database.runs.put(run)
        self.tell("run", run)
        return run

    def retry(self, run: RunRecord, job: JobRecord, wait: float = 0.0, attempt: int = 1) -> RunRecord:
        """A run that goes on in the directory of one that has ended."""
        return self.create(
            job,
            directory=run.directory,
            settings=run.settings,
            schedule=run.schedule,
            mode=run.mode,
            recrawl=run.recrawl,
            generation=run.generation,
            attempt=attempt,
            retry_of=run.id,
            not_before=time() + wait if wait else None,
        )

    def _ended(self, run: RunRecord) -> None:
        self.database.owe_notice(run.id, time())
        job = self.database.jobs.get(run.job)
        if job is None:
            return
        wait = retry_wait(
            run.state, run.exit_code, run.attempt, attempts=job.retry.attempts, first_wait=job.retry.first_wait
        )
        if wait is not None:
            self.retry(run, job, wait, run.attempt + 1)

    def _write(self, run: RunRecord) -> None:
        self.database.runs.put(run)
        self.database.add_transition(Transition(run.id, run.state, run.reason, time()))
        self.tell("run", run)
