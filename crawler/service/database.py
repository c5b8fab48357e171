"""`service.sqlite`: jobs, schedules, runs with their transitions, ticks, tokens. One process writes it, the service.

Rules:
- Every change is one transaction, committed before anything is done because of it or told of it: a kill at any moment
  leaves a state from which the service goes on.
- A file of another program, of a newer version, or with damage is refused. The line says what to do: `serve --rebuild`
  moves it aside and makes a new one from the crawl directories. The whole file is checked and every record read, up to
  CHECKED bytes; of a larger one that would take seconds, and damage shows when it is read, with the same line.
- Nothing about pages is stored here: that is in the crawl directories.
- Of what grows without end only the newest is kept: TICKS of each schedule, MOST_RUNS runs whose directory is gone,
  idempotency keys for a day.
"""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crawler.errors import Corrupt, StorageError
from crawler.service.core.states import ACTIVE, RunReason, RunState
from crawler.service.record_table import RecordTable
from crawler.service.records import (
    JobRecord,
    Listing,
    RunRecord,
    ScheduleRecord,
    StoredToken,
    TickRecord,
    Transition,
)
from crawler.storage.database import connect, storage_errors, transaction
from crawler.system.invocation import called
from crawler.system.text import escape_unprintable

FILE = "service.sqlite"
APPLICATION = 0x63726177  # "craw"
VERSION = 1
CHECKED = 64 * 1024 * 1024
LONGEST = 120
"""Characters that are shown of what SQLite says: it may quote a whole row."""
TICKS = 1000
MOST_RUNS = 10_000
DAY = 86_400.0
NUMBERS = ("application_id", "user_version")

JOB, RUN, SCHEDULE, TOKEN = ("name",), ("state", "job", "schedule", "directory", "removed"), ("job",), ("hash",)
SCHEMA = "\n".join(
    [
        RecordTable.schema("job", JOB),
        RecordTable.schema("run", RUN),
        RecordTable.schema("schedule", SCHEDULE),
        RecordTable.schema("token", TOKEN),
        """
        CREATE INDEX IF NOT EXISTS run_schedule_state ON run (schedule, state);
        CREATE TABLE IF NOT EXISTS transition (
            id INTEGER PRIMARY KEY, run TEXT NOT NULL, state TEXT NOT NULL, reason TEXT, at REAL NOT NULL);
        CREATE INDEX IF NOT EXISTS transition_run ON transition (run, id);
        CREATE TABLE IF NOT EXISTS tick (
            schedule TEXT NOT NULL, due REAL NOT NULL, run TEXT, reason TEXT, missed INTEGER NOT NULL,
            PRIMARY KEY (schedule, due)) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS request (
            key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, run TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS notice (run TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
        """,
    ]
)


class ServiceDatabase:
    """The open database. Its methods that write are called within `transaction`."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises Corrupt or StorageError, with what to do."""
        self.path = path
        try:
            self._connection = _open(path)
        except Corrupt as error:
            raise self._damaged(str(error.__cause__ or error)) from error
        self.jobs = RecordTable(self._execute, self._damaged, "job", JobRecord, JOB)
        self.runs = RecordTable(self._execute, self._damaged, "run", RunRecord, RUN)
        self.schedules = RecordTable(self._execute, self._damaged, "schedule", ScheduleRecord, SCHEDULE)
        self.tokens = RecordTable(self._execute, self._damaged, "token", StoredToken, TOKEN)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Context manager: one transaction, rolled back on any exception. Raises StorageError."""
        with transaction(self._connection, self.path):
            yield

    def _execute(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            with storage_errors(self.path):
                return self._connection.execute(query, values).fetchall()
        except Corrupt as error:
            raise self._damaged(str(error.__cause__ or error)) from error

    def _check(self) -> None:
        """Read every record of a file that is not larger than CHECKED: SQLite does not look into its rows."""
        if self.path.stat().st_size <= CHECKED:
            for table in (self.jobs, self.runs, self.schedules, self.tokens):
                table.where()

    def _damaged(self, what: str) -> Corrupt:
        return Corrupt(f"{self.path} is damaged ({escape_unprintable(what[:LONGEST])}); {_rebuild(self.path)}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def active_runs(self) -> list[RunRecord]:
        """Every run that has not ended, oldest first."""
        return sorted((run for state in ACTIVE for run in self.runs.where(state=state)), key=lambda run: run.id)

    # ---- transitions -------------------------------------------------------------------------------------------------

    def add_transition(self, one: Transition) -> None:
        """Append a transition."""
        self._execute(
            "INSERT INTO transition (run, state, reason, at) VALUES (?, ?, ?, ?)",
            (one.run, one.state, one.reason, one.at),
        )

    def transitions(self, run: str) -> list[Transition]:
        """Those of a run, oldest first."""
        rows = self._execute("SELECT state, reason, at FROM transition WHERE run = ? ORDER BY id", (run,))
        return [Transition(run, RunState(state), reason and RunReason(reason), at) for state, reason, at in rows]

    # ---- ticks -------------------------------------------------------------------------------------------------------

    def has_tick(self, schedule: str, due: float) -> bool:
        """Whether it is stored what became of a tick."""
        return bool(self._execute("SELECT 1 FROM tick WHERE schedule = ? AND due = ?", (schedule, due)))

    def add_tick(self, tick: TickRecord) -> None:
        """Store what became of a tick. Raises StorageError where that is stored already."""
        row = (tick.schedule, tick.due, tick.run, tick.reason, tick.missed)
        self._execute("INSERT INTO tick VALUES (?, ?, ?, ?, ?)", row)

    def ticks(self, schedule: str, before: float | None, limit: int) -> Listing[TickRecord]:
        """Those of a schedule, newest first; `next` is the `due` to go on before."""
        rows = self._execute(
            "SELECT due, run, reason, missed FROM tick WHERE schedule = ? AND due < ? ORDER BY due DESC LIMIT ?",
            (schedule, float("inf") if before is None else before, limit + 1),
        )
        found = [
            TickRecord(schedule, due, run, reason and RunReason(reason), missed) for due, run, reason, missed in rows
        ]
        return Listing(found[:limit], repr(found[limit - 1].due) if len(found) > limit else None)

    def remove_schedule(self, schedule: str) -> None:
        """Remove a schedule with its ticks."""
        self.schedules.remove([schedule])
        self._execute("DELETE FROM tick WHERE schedule = ?", (schedule,))

    # ---- idempotency and notices -------------------------------------------------------------------------------------

    def request(self, key: str) -> tuple[str, str] | None:
        """The fingerprint and the run of an earlier request with this idempotency key."""
        rows = self._execute("SELECT fingerprint, run FROM request WHERE key = ?", (key,))
        return (rows[0][0], rows[0][1]) if rows else None

    def add_request(self, key: str, fingerprint: str, run: str, at: float) -> None:
        """Remember a request."""
        self._execute("INSERT INTO request VALUES (?, ?, ?, ?)", (key, fingerprint, run, at))

    def owe_notice(self, run: str, at: float) -> None:
        """A notice of the end of a run is owed."""
        self._execute("INSERT OR IGNORE INTO notice VALUES (?, ?)", (run, at))

    def owed_notices(self) -> list[str]:
        """The runs whose notice is owed, oldest first."""
        return [run for (run,) in self._execute("SELECT run FROM notice ORDER BY at")]

    def notice_sent(self, run: str) -> None:
        """The notice was sent, or given up."""
        self._execute("DELETE FROM notice WHERE run = ?", (run,))

    # ---- what grows without end --------------------------------------------------------------------------------------

    def trim(self, now: float) -> None:
        """Remove what is too old to be kept."""
        execute = self._execute
        execute("DELETE FROM request WHERE at < ?", (now - DAY,))
        long = execute("SELECT schedule FROM tick GROUP BY schedule HAVING count(*) > ?", (TICKS,))
        for (schedule,) in long:
            newest = "SELECT due FROM tick WHERE schedule = ? ORDER BY due DESC LIMIT 1 OFFSET ?"
            execute(f"DELETE FROM tick WHERE schedule = ? AND due <= ({newest})", (schedule, schedule, TICKS))
        rows = execute("SELECT id FROM run WHERE removed ORDER BY id DESC LIMIT -1 OFFSET ?", (MOST_RUNS,))
        old = [run for (run,) in rows]
        self.runs.remove(old)
        for run in old:
            execute("DELETE FROM transition WHERE run = ?", (run,))


def _open(path: Path) -> sqlite3.Connection:
    known = path.exists() and path.stat().st_size > 0
    connection = connect(path, "")
    try:
        with storage_errors(path):
            application, version = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in NUMBERS)
            if known and application not in (APPLICATION, 0):
                raise StorageError(f"{path} belongs to another program; move it away, or choose another --data")
            if version > VERSION:
                raise StorageError(f"{path} was written by a newer version ({version}) of the crawler; use that one")
            if known and path.stat().st_size <= CHECKED:
                found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if found != "ok":
                    raise Corrupt(" ".join(str(found).split()))
            connection.executescript(SCHEMA)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


def _rebuild(path: Path) -> str:
    again = f"{called()} serve --data {shlex.quote(str(path.parent))} --rebuild"
    return f"{again} moves it aside and makes a new one from the crawls"
