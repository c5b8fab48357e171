"""What pages show of crawl directories, read in the background and kept for a while.

Rules:
- One directory is read at a time, on a thread: dashboards must not take from crawls.
- A page does not wait for a reading that takes long: it shows what was read before, or says that it is being read.
- What is read of a live run is read again after FRESH seconds, of an ended one after SETTLED, as another run may go on
  in its directory; in any case not before SPARING times as long as the reading took.
- A run that cannot be read is told in words, never an error of the page.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Generic, NamedTuple, Protocol, TypeVar

from crawler.errors import CrawlerError

WAIT = 1.5
"""Seconds that a page waits for a reading."""
FRESH = 4.0
SETTLED = 300.0
SPARING = 20.0
MOST = 64
"""How many readings are kept; one has a bounded size, some 100 kB."""
BEING_READ = "Its crawl directory is being read; look again in a moment."


class DirectoryReading(Protocol):
    """What was read; `unread` says why it could not be, "" where it could."""

    @property
    def unread(self) -> str:
        """Why there is nothing."""


R = TypeVar("R", bound=DirectoryReading)


class _Kept(NamedTuple, Generic[R]):
    reading: R
    until: float


class KeptReadings(Generic[R]):
    """A cache of readings by run. `read` reads a directory; `unread` makes the reading of one that cannot be read, of a
    reason in words."""

    def __init__(self, read: Callable[[Path], R], unread: Callable[[str], R], turns: asyncio.Lock) -> None:
        self._read_directory = read
        self._unread = unread
        self._turns = turns
        self._kept: OrderedDict[str, _Kept[R]] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[R]] = {}

    async def of(self, run: str, path: Path, *, live: bool, wait: float = WAIT) -> R:
        """What the crawl in `path` says. `live`: the run has not ended, so that changes; `wait`: seconds to wait for it
        at most."""
        kept = self._kept.get(run)
        if kept is not None and kept.until > monotonic():
            self._kept.move_to_end(run)
            return kept.reading
        task = self._tasks.get(run)
        if task is None:
            task = self._tasks[run] = asyncio.create_task(self._read(run, path, live))
            task.add_done_callback(lambda _: self._tasks.pop(run))
        await asyncio.wait({task}, timeout=wait)
        if task.done():
            return task.result()
        return kept.reading if kept is not None else self._unread(BEING_READ)

    async def _read(self, run: str, path: Path, live: bool) -> R:
        async with self._turns:
            started_at = monotonic()
            found = await asyncio.to_thread(self._try, path)
        took = monotonic() - started_at
        lasting = max(FRESH if live or found.unread else SETTLED, SPARING * took)
        self._kept[run] = _Kept(found, monotonic() + lasting)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return found

    def _try(self, path: Path) -> R:
        if not path.is_dir():
            return self._unread("Its crawl directory does not exist (yet, or any more).")
        try:
            return self._read_directory(path)
        except CrawlerError as error:
            return self._unread(str(error))
        except OSError as error:
            return self._unread(f"cannot read {path}: {error.strerror or error}")
