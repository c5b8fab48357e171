"""Writes pages into one SQLite part.

Rules:
- `put` only buffers. Compression and insertion happen in `flush`, on the recorder's writer thread, which releases the
  GIL for most of it.
- A page leaves the buffer after its commit, so a flush that failed for lack of space or memory can be repeated. After
  any other failure every later flush fails, too.
- A part has a lock file beside it until its writer closes it. An empty part vanishes.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

from crawler.errors import Busy, DiskFull, MemoryShort, StorageError
from crawler.storage.database import (
    connect,
    storage_errors,
    transaction,
)
from crawler.storage.pages.base import Page
from crawler.storage.pages.record import INSERT, PAGE_SIZE, SCHEMA, compressor, record_row
from crawler.system.failpoints import passing
from crawler.system.file_lock import FileLock


class SqliteWriter:
    """Writes one part. A body for which `_put` gets a `file` is there: stored by the subclass, or by another
    generation."""

    def __init__(self, folder: Path, part: str) -> None:
        self.part = part
        self._taken = self._flushed = 0  # bytes; each is written by one thread only, so neither needs a lock
        self._path = folder / f"{part}.sqlite"
        self._lock = FileLock(folder / f"{part}.lock")
        self._lock.acquire(f"part {part}")
        try:
            self._connection = connect(self._path, SCHEMA, PAGE_SIZE)
        except BaseException:
            self._lock.release()
            raise
        self._position = 0
        self._failure: StorageError | None = None
        self._waiting: deque[tuple[int, Page, str | None]] = deque()
        self._compress = compressor()

    def put(self, page: Page) -> int:
        """Buffer a page; returns its position."""
        return self._put(page, page.stored_at or None)

    async def aput(self, page: Page) -> int:
        """As `put`, which does not wait for a disk."""
        return self._put(page, page.stored_at or None)

    @property
    def buffered(self) -> int:
        """Bytes put and not yet written."""
        return self._taken - self._flushed

    def _put(self, page: Page, file: str | None) -> int:
        position, taken = self._position + 1, self._taken + len(page.body)
        self._waiting.append((position, page, file))  # the last step that may fail, so that no position is used twice
        self._position, self._taken = position, taken
        return position

    def flush(self) -> None:
        """Write the buffered pages. A page leaves the buffer only after its commit, so DiskFull, Busy and MemoryShort
        can be retried.

        Any other failure is final: after a failed fsync the kernel may have dropped dirty pages, and a second fsync
        that succeeds would prove nothing. Raises StorageError.
        """
        if self._failure is not None:
            raise self._failure
        count = len(self._waiting)
        if not count:
            return
        rows = (
            record_row(*self._waiting[index], self._compress) for index in range(count)
        )  # one at a time: bodies may be large
        try:
            with transaction(self._connection, self._path) as connection:
                connection.executemany(INSERT, rows)
                passing("store.flush")
        except StorageError as error:
            may_pass = isinstance(error, DiskFull | Busy | MemoryShort)
            self._failure = None if may_pass else error
            raise
        for _ in range(count):
            _, page, _ = self._waiting.popleft()
            self._flushed += len(page.body)

    def close(self) -> None:
        """Flush, close the file and release the part's lock."""
        try:
            self.flush()
        finally:
            with storage_errors(self._path):
                passing("store.close")
                self._connection.close()
                if not self._position:
                    self._path.unlink(missing_ok=True)
                self._lock.path.unlink(missing_ok=True)
            self._lock.release()
