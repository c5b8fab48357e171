"""What was read of pages that a 304 confirmed, on its way to known.sqlite, so that no page is parsed twice for that.

Rules:
- Each process of a re-crawl that fetches has a file of its own below `readings/` of its generation: no other process
  writes to it or waits for it. Rows are written in groups, without a sync.
- It is a cache: what a kill or a full disk costs is parsed again. So no error of it is an error of the crawl.
- The next re-crawl moves all of it to known.sqlite (crawler/storage/known_pages.py) and removes the folder.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from crawler.errors import StorageError
from crawler.storage.database import PRIVATE, connect, connect_to_read, storage_errors, transaction

FOLDER = "readings"
SCHEMA = "CREATE TABLE IF NOT EXISTS reading (url TEXT NOT NULL, digest BLOB NOT NULL, facts BLOB NOT NULL)"
AT_ONCE = 256
"""Rows of a group: about 250 kB."""

ReadingRow = tuple[str, bytes, bytes]
"""A URL, the digest of its page, and what was read of it."""


class ReadingWriter:
    """The file of one process; for one thread at a time. Does not raise: without a file nothing is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._path = self._folder / f"{os.getpid()}-{os.urandom(4).hex()}.sqlite"
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[ReadingRow] = []
        self._failed = False

    def put(self, url: str, digest: bytes, facts: bytes) -> None:
        """Keep what was read of a page."""
        if self._failed:
            return
        self._waiting.append((url, digest, facts))
        if len(self._waiting) >= AT_ONCE:
            self._write()

    def close(self) -> None:
        """Write what waits, and close the file."""
        if self._waiting and not self._failed:
            self._write()
        if self._connection is not None:
            with suppress(StorageError), storage_errors(self._path):
                self._connection.close()

    def _write(self) -> None:
        rows, self._waiting = self._waiting, []
        try:
            with transaction(self._opened(), self._path) as connection:
                connection.executemany("INSERT INTO reading VALUES (?, ?, ?)", rows)
        except StorageError:
            self._failed = True

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            with storage_errors(self._folder):
                self._folder.mkdir(PRIVATE, exist_ok=True)
            self._connection = connect(self._path, SCHEMA)
            with storage_errors(self._path):
                self._connection.execute("PRAGMA synchronous=OFF")
        return self._connection


def readings(folder: Path) -> Iterator[ReadingRow]:
    """All that the processes of a generation have kept, as far as it can be read."""
    for path in sorted((folder / FOLDER).glob("*.sqlite")):
        with suppress(StorageError), closing(connect_to_read(path)) as connection, storage_errors(path):
            yield from connection.execute("SELECT url, digest, facts FROM reading")


def remove_readings(folder: Path) -> None:
    """Remove what the processes of a generation have kept. Raises StorageError."""
    with storage_errors(folder):
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
