"""The default store: pages in SQLite parts, bodies compressed.

A part is `parts/NAME.sqlite` with one table `page`, see crawler/storage/pages/record.py. Its writer keeps a lock file
beside it; without one the part is closed. Parts of other generations ("N/NAME") are read, never written.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from crawler.errors import Corrupt, StorageError
from crawler.fetch.base import Headers
from crawler.storage.database import (
    PRIVATE,
    any_text,
    connect,
    connect_to_read,
    storage_errors,
    transaction,
)
from crawler.storage.generations import is_elsewhere, located
from crawler.storage.pages.base import Page
from crawler.storage.pages.record import SCHEMA, body_of, columns_to_read, head_of, page_of
from crawler.storage.pages.sqlite_writer import SqliteWriter
from crawler.storage.recovery import readable_rows
from crawler.system.file_lock import FileLock

MOST_OPEN = 16
"""Parts that `read` keeps open: more than the processes of a run."""
CACHE = 256 * 1024
"""Bytes that SQLite may hold of each of them: single pages are read at random, so more would not be used again."""
ORPHAN_PATIENCE = 10.0


class _OpenPart(NamedTuple):
    """A part that is kept open to read: its file, and the columns of its records."""

    path: Path
    connection: sqlite3.Connection
    columns: str


class SqliteStore:
    """A folder of SQLite parts. Nothing is written before a flush, which the recorder retries while the disk is full:
    `disk_wait` (seconds) is for stores that write at once."""

    def __init__(self, folder: Path, disk_wait: float = 0.0) -> None:
        self._folder = folder
        self._open: OrderedDict[str, _OpenPart] = OrderedDict()
        self._others: dict[str, SqliteStore] = {}
        with storage_errors(folder):
            folder.mkdir(PRIVATE, parents=True, exist_ok=True)

    def writer(self, part: str) -> SqliteWriter:
        """Open a new part."""
        return SqliteWriter(self._folder, part)

    def parts(self) -> list[str]:
        """The names of all parts."""
        return sorted(path.stem for path in self._folder.glob("*.sqlite"))

    def holds(self, part: str) -> bool:
        """Whether there is such a part, here or in another generation."""
        try:
            store, name = self._elsewhere(part) if is_elsewhere(part) else (self, part)
            return store._path(name).exists()
        except KeyError:
            return False

    def read(self, part: str, position: int) -> Page:
        """One page. Raises KeyError where it is missing, Corrupt where it is damaged."""
        if is_elsewhere(part):
            store, name = self._elsewhere(part)
            return store.read(name, position)
        path, connection, columns = self._kept_open(part)
        with storage_errors(path):
            row = connection.execute(f"SELECT {columns} FROM page WHERE position = ?", (position,)).fetchone()
        if row is None:
            raise KeyError(f"{part}:{position}")
        return page_of(part, row, self._body)

    def head(self, part: str, position: int) -> tuple[Headers, str]:
        """The headers of a page, and the record of another generation that has its body ("": it has it itself). Raises
        as `read`."""
        if is_elsewhere(part):
            store, name = self._elsewhere(part)
            return store.head(name, position)
        path, connection, _ = self._kept_open(part)
        with storage_errors(path):
            row = connection.execute("SELECT headers, file FROM page WHERE position = ?", (position,)).fetchone()
        if row is None:
            raise KeyError(f"{part}:{position}")
        headers, file = head_of(part, position, row)
        return headers, file if is_elsewhere(file) else ""

    def _elsewhere(self, part: str) -> tuple[SqliteStore, str]:
        """The store that has a part of another generation, and its name there. Raises KeyError."""
        number, _, name = part.partition("/")
        if number not in self._others:
            self._others[number] = type(self)(located(self._folder.parent, number))
        return self._others[number], name

    def close(self) -> None:
        """Close the files that `read` has left open."""
        for store in self._others.values():
            store.close()
        while self._open:
            self._open.popitem()[1].connection.close()

    def _kept_open(self, part: str) -> _OpenPart:
        """A part, open. To open it takes longer than to read a page, so the last few stay open. Raises KeyError."""
        if part in self._open:
            self._open.move_to_end(part)
            return self._open[part]
        path = self._path(part)
        with storage_errors(path):
            if len(self._open) >= MOST_OPEN:
                self._open.popitem(last=False)[1].connection.close()
            connection = connect_to_read(path)
            connection.text_factory = any_text
            connection.execute(f"PRAGMA cache_size=-{CACHE // 1024}")
            self._open[part] = _OpenPart(path, connection, columns_to_read(connection))
        return self._open[part]

    def pages(self, part: str) -> Iterator[tuple[int, Page]]:
        """All records of a part."""
        with self._reading(part) as connection:
            for row in connection.execute(f"SELECT {columns_to_read(connection)} FROM page ORDER BY position"):
                yield row[0], page_of(part, row, self._body)

    def records(self, part: str) -> Iterator[tuple[int, Page | None]]:
        """All records of a part, None for each that is damaged."""
        last = 0
        try:
            with self._reading(part) as connection:
                for row in connection.execute(f"SELECT {columns_to_read(connection)} FROM page ORDER BY position"):
                    last = row[0]
                    yield last, self._whole(part, row)
            return
        except StorageError:
            pass
        for position in [row[0] for row in readable_rows(self._path(part), "page", "position", "1")]:
            if isinstance(position, int) and position > last:  # after the first damage
                try:
                    yield position, self.read(part, position)
                except (StorageError, KeyError):
                    yield position, None

    def _whole(self, part: str, row: sqlite3.Row) -> Page | None:
        try:
            return page_of(part, row, self._body)
        except Corrupt:
            return None

    def last(self, part: str) -> int:
        """The highest position in a part, 0 for an empty one."""
        with closing(connect_to_read(self._path(part))) as connection, storage_errors(self._path(part)):
            last: int = connection.execute("SELECT coalesce(max(position), 0) FROM page").fetchone()[0]
        return last

    def unclosed(self) -> list[str]:
        """Parts whose writer has not closed them, or has not created them."""
        return sorted(path.stem for path in self._folder.glob("*.lock"))

    def sweep(self, named: Mapping[str, Mapping[int, str]]) -> int:
        """Remove the records that are not named. Raises Locked, and Corrupt where a named record is missing."""
        ours = {part: kept for part, kept in named.items() if not is_elsewhere(part)}
        return sum(self._sweep_part(self._folder / f"{part}.sqlite", kept) for part, kept in ours.items())

    def _sweep_part(self, path: Path, named: Mapping[int, str]) -> int:
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire(f"part {path.stem}", ORPHAN_PATIENCE)
        try:
            with closing(connect(path, SCHEMA)) as connection, transaction(connection, path):
                every = connection.execute("SELECT position FROM page").fetchall()
                gone = [row for row in every if row[0] not in named]
                if len(every) - len(gone) < len(named):
                    raise Corrupt(f"{path} lacks pages that the frontier names; use the command repair")
                connection.executemany("DELETE FROM page WHERE position = ?", gone)
            if len(gone) == len(every):
                path.unlink()
            lock.path.unlink(missing_ok=True)
        finally:
            lock.release()
        return len(gone)

    def _path(self, part: str) -> Path:
        path = self._folder / f"{part}.sqlite"
        if not path.exists():
            raise KeyError(part)
        return path

    @contextmanager
    def _reading(self, part: str) -> Iterator[sqlite3.Connection]:
        path = self._path(part)
        with closing(connect_to_read(path)) as connection, storage_errors(path):
            connection.text_factory = any_text
            yield connection

    def _body(self, packed: bytes | None, file: str | None, length: int) -> bytes:
        return body_of(packed, file, length, self.read)
