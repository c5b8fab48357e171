"""One file per body: decoded bodies in content-addressed files, described by SQLite parts.

A body is in `bodies/ab/abcdef...` (SHA-256 of the content, so a name never comes from the web and equal bodies share a
file); the part has its URL. A file is written under another name and renamed, so it is complete or absent, and it
exists before the part names it. A file that no part names was left by a kill: `sweep` removes it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import aiofiles
import aiofiles.os

from crawler.errors import DiskFull
from crawler.storage.database import PRIVATE, akeep_trying, connect_to_read, retry_storage, storage_errors
from crawler.storage.generations import is_elsewhere
from crawler.storage.pages.base import Page
from crawler.storage.pages.sqlite import SqliteStore
from crawler.storage.pages.sqlite_writer import SqliteWriter
from crawler.system.failpoints import passing

NAME = 64
"""The length of a name."""


def body_name(body: bytes) -> str:
    """Where a body lies below its folder: "ab/abcdef...", the SHA-256 of its content."""
    name = hashlib.sha256(body).hexdigest()
    return f"{name[:2]}/{name}"


def write_body(folder: Path, body: bytes) -> None:
    """Write a body below a folder, complete or not at all, where it is not there yet. Raises StorageError."""
    path = folder / body_name(body)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with storage_errors(path):
        if not path.exists():
            path.parent.mkdir(PRIVATE, parents=True, exist_ok=True)
            try:
                beside.write_bytes(body)
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)


class FilesWriter(SqliteWriter):
    """Writes bodies at once and their records in batches."""

    def __init__(self, folder: Path, part: str, bodies: Path, disk_wait: float) -> None:
        super().__init__(folder, part)
        self._bodies = bodies
        self._disk_wait = disk_wait
        self._names = 0
        self._stuck = False

    def put(self, page: Page) -> int:
        """Write the body, buffer the record. Raises StorageError."""
        if page.stored_at:
            return self._put(page, page.stored_at)
        path = self._target(page.body)
        retry_storage(lambda: self._write(path, page.body), self._disk_wait)
        return self._put(page, path.name)

    async def aput(self, page: Page) -> int:
        """`put` without ever blocking the event loop."""
        if page.stored_at:
            return self._put(page, page.stored_at)
        path = self._target(page.body)
        await akeep_trying(lambda: self._awrite(path, page.body), self._disk_wait)
        return self._put(page, path.name)

    @property
    def buffered(self) -> int:
        """Bytes not yet flushed; 1 << 62 while the disk is full, so that no new fetch starts."""
        return 1 << 62 if self._stuck else super().buffered

    def _write(self, path: Path, body: bytes) -> None:
        with self._body_errors(path) as beside:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                beside.write_bytes(body)
                passing("store.body")
                beside.replace(path)

    async def _awrite(self, path: Path, body: bytes) -> None:
        with self._body_errors(path) as beside:
            if not await aiofiles.os.path.exists(path):
                await aiofiles.os.makedirs(path.parent, exist_ok=True)
                async with aiofiles.open(beside, "wb") as file:
                    await file.write(body)
                passing("store.body")
                await aiofiles.os.replace(beside, path)

    @contextmanager
    def _body_errors(self, path: Path) -> Iterator[Path]:
        """Context manager: a temporary name beside `path`, removed where writing fails. Raises StorageError."""
        beside = self._beside(path)
        try:
            with storage_errors(path):
                yield beside
            self._stuck = False
        except BaseException as error:
            self._stuck = isinstance(error, DiskFull)
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise

    def _target(self, body: bytes) -> Path:
        return self._bodies / body_name(body)

    def _beside(self, path: Path) -> Path:
        """A unique temporary name: several tasks may write equal bodies at once."""
        self._names += 1
        return path.with_name(f".{self.part}-{self._names}")


class FilesStore(SqliteStore):
    """A folder of bodies and a folder of parts that describe them."""

    def __init__(self, folder: Path, disk_wait: float = 0.0) -> None:
        super().__init__(folder)
        self._disk_wait = disk_wait
        self._bodies = folder.parent / "bodies"
        with storage_errors(self._bodies):
            self._bodies.mkdir(PRIVATE, exist_ok=True)

    def writer(self, part: str) -> FilesWriter:
        """Open a new part."""
        return FilesWriter(self._folder, part, self._bodies, self._disk_wait)

    def sweep(self, named: Mapping[str, Mapping[int, str]]) -> int:
        """Remove the records that no row names, then the files that no record names."""
        if not any(not is_elsewhere(part) for part in named):
            return 0
        removed = super().sweep(named)
        described: set[str] = set()
        for name in self.parts():
            with closing(connect_to_read(self._path(name))) as connection, storage_errors(self._path(name)):
                described.update(file for (file,) in connection.execute("SELECT file FROM page"))
        for folder, _, files in os.walk(self._bodies):
            for file in files:
                if file not in described:
                    Path(folder, file).unlink(missing_ok=True)
        return removed

    def set_damaged_aside(self) -> int:
        """Rename the files whose SHA-256 is not their name, so that they may be rewritten; returns how many."""
        count = 0
        with storage_errors(self._bodies):
            for path in sorted(self._bodies.glob("??/*")):
                if len(path.name) == NAME and hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
                    path.replace(path.with_name(f"{path.name}.broken"))
                    count += 1
        return count

    def _body(self, packed: bytes | None, file: str | None, length: int) -> bytes:
        if file and is_elsewhere(file):
            return super()._body(packed, file, length)
        return (self._bodies / file[:2] / file).read_bytes() if file else b""
