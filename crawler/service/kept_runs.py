"""What crawl directories keep on disk, and the removal of those that retention gives up.

Rules:
- core/retention.py decides. A directory is renamed first, then its runs are marked, then its files go: after a kill in
  between it has another name, and the next look removes what is left.
- Sizes are measured when a run has ended and kept in memory; those of runs that go on are measured anew with each look.
- A directory that someone else has removed is noticed, and its runs are marked. So is a generation that a later run
  has dropped; the log of its run goes too.
- Measuring and removing read the disk, so they run on a thread.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress
from pathlib import Path
from time import time

from crawler.errors import StorageError
from crawler.service.capped_log import earlier
from crawler.service.config import ServiceConfig
from crawler.service.core.retention import RunOnDisk, to_remove
from crawler.service.core.states import FINAL
from crawler.service.database import ServiceDatabase
from crawler.service.records import RunRecord, StoredRun
from crawler.service.run_file import RUNS, log_file, run_file
from crawler.service.run_journal import RunJournal
from crawler.storage.generations import DROPPED, folder_of

LEAVING = ".removing-"
PERIOD = 60.0


class KeptRuns:
    """The crawl directories of one data folder."""

    def __init__(self, journal: RunJournal, config: ServiceConfig, data: Path) -> None:
        self._journal = journal
        self._config = config
        self._data = data
        self._sizes: dict[str, tuple[int, int]] = {}  # of directories in which no run goes on: bytes, files
        self._due = asyncio.Event()

    @property
    def _database(self) -> ServiceDatabase:
        return self._journal.database

    def wake(self, directory: str) -> None:
        """A run has ended that worked in this directory: look soon."""
        self._sizes.pop(directory, None)
        self._due.set()

    async def run(self) -> None:
        """Remove what is to go, each minute and after each run, until cancelled."""
        while True:
            try:
                await self.sweep()
            except (OSError, StorageError) as error:
                self._journal.complain(f"cannot remove old runs: {error}")
            self._due.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD):
                    await self._due.wait()

    async def sweep(self) -> None:
        """Remove what is to go, and what an earlier removal has left. Raises StorageError, OSError."""
        await asyncio.to_thread(_remove_leaving, self._data / RUNS)
        runs, _ = await self._measured()
        for removal in to_remove(
            runs,
            time(),
            keep_runs=self._config.keep_runs,
            keep_days=self._config.keep_days,
            keep_bytes=self._config.most_kept,
        ):
            path = self._data / removal.directory
            with suppress(FileNotFoundError):
                path.rename(path.with_name(f"{LEAVING}{path.name}"))
            self._mark_removed(removal.runs)
            self._sizes.pop(removal.directory, None)
            await asyncio.to_thread(self._remove_files, removal.runs)
        with self._journal.transaction():
            self._database.trim(time())

    async def stored(self) -> list[StoredRun]:
        """What each run keeps, newest first. The runs of one directory share it."""
        runs, sizes = await self._measured()
        bounds = self._config.keep_runs, self._config.keep_days, self._config.most_kept
        leaving = {
            run
            for removal in to_remove(runs, time(), keep_runs=bounds[0], keep_days=bounds[1], keep_bytes=bounds[2])
            for run in removal.runs
        }
        return [
            StoredRun(run.run, run.directory, run.bytes, sizes[run.directory][1], run.run in leaving)
            for run in reversed(runs)
        ]

    async def _measured(self) -> tuple[list[RunOnDisk], dict[str, tuple[int, int]]]:
        """The runs whose directories are there, oldest first, and the sizes of these; marks the runs whose directories
        are gone."""
        runs = self._database.runs.where(removed=False)
        going_on = {run.directory for run in runs if run.state not in FINAL}
        for directory in going_on:
            self._sizes.pop(directory, None)
        known = self._sizes.copy()  # it changes meanwhile
        unknown: dict[str, list[str]] = {}
        for run in runs:
            if run.directory not in known:
                unknown.setdefault(run.directory, []).append(run.id)
        measured = await asyncio.to_thread(self._measure, unknown)
        sizes = known | measured
        self._sizes |= {name: size for name, size in measured.items() if name not in going_on}
        dropped = await asyncio.to_thread(self._dropped, runs)
        gone = {run.id for run in runs if run.directory not in going_on and not sizes[run.directory][1]} | dropped
        self._mark_removed(tuple(sorted(gone)))
        await asyncio.to_thread(self._remove_files, tuple(sorted(dropped)))
        there = [run for run in runs if run.id not in gone]
        again = {job.id for job in self._database.jobs.where() if job.recrawl}
        return [_on_disk(run, sizes[run.directory][0], run.recrawl and run.job in again) for run in there], sizes

    def _dropped(self, runs: list[RunRecord]) -> set[str]:
        """The runs that have ended and whose generations were dropped."""
        ended = [run for run in runs if run.recrawl and run.state in FINAL and run.generation is not None]
        folders = {run.id: folder_of(self._data / run.directory, run.generation or 0) for run in ended}
        return {run for run, folder in folders.items() if (folder / DROPPED).exists()}

    def _measure(self, directories: dict[str, list[str]]) -> dict[str, tuple[int, int]]:
        """The bytes of directories with the files beside them, by the runs that work in each; the files within."""
        found = dict[str, tuple[int, int]]()
        for directory, runs in directories.items():
            size, files = _size(self._data / directory)
            found[directory] = size + sum(_file_size(path) for run in runs for path in self._beside(run)), files
        return found

    def _beside(self, run: str) -> tuple[Path, ...]:
        """The files of a run that are not in its directory."""
        log = log_file(self._data, run)
        return run_file(self._data, run), log, earlier(log)

    def _mark_removed(self, runs: tuple[str, ...]) -> None:
        if runs:
            with self._journal.transaction():
                for run in runs:
                    self._journal.update(run, removed=True)

    def _remove_files(self, runs: tuple[str, ...]) -> None:
        _remove_leaving(self._data / RUNS)
        for run in runs:
            for path in self._beside(run):
                path.unlink(missing_ok=True)


def _on_disk(run: RunRecord, size: int, recrawl: bool) -> RunOnDisk:
    return RunOnDisk(run.id, run.job, run.directory, run.state, run.ended_at, size, recrawl)


def _remove_leaving(folder: Path) -> None:
    for path in folder.glob(f"{LEAVING}*"):
        shutil.rmtree(path, ignore_errors=True)


def _size(folder: Path) -> tuple[int, int]:
    """The bytes and the number of files below a folder; what vanishes meanwhile is left out."""
    size = files = 0
    for where, _, names in os.walk(folder):
        size += sum(_file_size(Path(where) / name) for name in names)
        files += len(names)
    return size, files


def _file_size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
