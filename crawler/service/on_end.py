"""Tells others that a run has ended: the URL of its job, and the URL and command of the configuration.

Rules:
- What is owed stands in the database from the moment the run ends until the notice was sent. A kill loses none; it may
  bring one twice, and the id of the run tells which.
- A notice that fails is tried TRIES times, with waits that double; then it is given up, which is told as a notice of
  the service. No run waits for it.
- A URL gets a POST with the run as JSON. Redirects are not followed, the answer is not read. Within TIMEOUT it must
  answer with 2xx.
- A command gets the same on stdin and has TIMEOUT to end with 0; then its group is killed.
- The key `diff` has what a run that crawled again has changed, as the API tells it, with at most MOST_LISTED of each
  kind; null where there is nothing to compare, or comparing takes too long.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from crawler.errors import CrawlerError, StorageError
from crawler.service.config import ServiceConfig
from crawler.service.records import RunRecord
from crawler.service.run_journal import RunJournal
from crawler.storage.generations import folder_of

if TYPE_CHECKING:
    import aiohttp

TRIES = 5
FIRST_WAIT = 2.0
TIMEOUT = 30.0
AT_ONCE = 4
LOOK = 60.0
MOST_LISTED = 1000


class EndNotifier:
    """Tells of the ends of the runs of one service."""

    def __init__(self, journal: RunJournal, config: ServiceConfig, data: Path) -> None:
        self._journal = journal
        self._data = data
        self._config = config
        self._due = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._telling: dict[str, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None

    def wake(self) -> None:
        """A run has ended."""
        self._due.set()

    async def run(self) -> None:
        """Tell what is owed, now and later, until cancelled."""
        try:
            while True:
                self._due.clear()
                try:
                    for run in self._journal.database.owed_notices():
                        if run not in self._telling:
                            self._telling[run] = asyncio.create_task(self._tell(run))
                except StorageError as error:
                    self._journal.complain(f"cannot read receiver to tell of runs: {error}")
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._due.wait()
        finally:
            for task in self._telling.values():
                task.cancel()
            await asyncio.gather(*self._telling.values(), return_exceptions=True)
            if self._session is not None:
                await self._session.close()

    async def _tell(self, key: str) -> None:
        try:
            run = self._journal.database.runs.get(key)
            receivers = self._receivers(run)
            if run is not None and receivers:
                async with self._places:
                    notice = await asyncio.to_thread(self._notice, run)
                    for receiver in receivers:
                        await self._try(run, notice, receiver)
            with suppress(StorageError), self._journal.transaction():  # then it is told once more, after a start
                self._journal.database.notice_sent(key)
        finally:
            del self._telling[key]

    def _notice(self, run: RunRecord) -> bytes:
        """The run and its changes as JSON."""
        from crawler.service import diff_reader

        found = None
        if run.generation:
            with suppress(CrawlerError, OSError):
                found = diff_reader.run_diff(folder_of(self._data / run.directory, run.generation), MOST_LISTED)
        return msgspec.json.encode({**msgspec.structs.asdict(run), "diff": found})

    def _receivers(self, run: RunRecord | None) -> list[str | tuple[str, ...]]:
        """The URLs and commands that are told of a run."""
        if run is None:
            return []
        job = self._journal.database.jobs.get(run.job)
        found = [job.on_end.url if job is not None else None, self._config.on_end.url, self._config.on_end.command]
        return [receiver for receiver in found if receiver]

    async def _try(self, run: RunRecord, notice: bytes, receiver: str | tuple[str, ...]) -> None:
        """Tell one, several times where that fails."""
        for number in range(TRIES):
            if number:
                await asyncio.sleep(FIRST_WAIT * 2.0 ** (number - 1))
            why = await (
                self._post(notice, receiver) if isinstance(receiver, str) else self._run_command(notice, receiver)
            )
            if why is None:
                return
        name = receiver if isinstance(receiver, str) else receiver[0]
        self._journal.complain(f"run {run.id}: on_end could not be told to {name}: {why}")

    async def _post(self, notice: bytes, url: str) -> str | None:
        """Why the URL could not be told, None where it was."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        headers = {"Content-Type": "application/json", "User-Agent": "crawler"}
        try:
            async with self._session.post(url, data=notice, headers=headers, allow_redirects=False) as answer:
                return None if 200 <= answer.status < 300 else f"it answered {answer.status}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return str(error) or type(error).__name__

    async def _run_command(self, notice: bytes, command: tuple[str, ...]) -> str | None:
        """Why the command has failed, None where it has not."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return error.strerror or str(error)
        try:
            async with asyncio.timeout(TIMEOUT):
                await process.communicate(notice)
        except TimeoutError:
            return f"it had not ended after {TIMEOUT:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return None if process.returncode == 0 else f"it ended with {process.returncode}"
