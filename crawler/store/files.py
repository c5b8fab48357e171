"""One file per page: decoded bodies under names made of their content, described by SQLite parts.

A body lies in `bodies/ab/abcdef...` (SHA-256 of the content, so a name never comes from the web and equal bodies share
a file); the part tells which URL it belongs to. A file is written beside its name and renamed, so it is whole or
absent, and it is there before the part names it. A file that no part names is a remnant of a kill: `sweep` removes it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import aiofiles
import aiofiles.os

from crawler.database import connect_to_read, storage_errors
from crawler.store.base import Page
from crawler.store.sqlite import SqliteStore, SqliteWriter


class FilesWriter(SqliteWriter):
    """Writes bodies at once and their descriptions in groups."""

    def __init__(self, folder: Path, part: str, bodies: Path) -> None:
        super().__init__(folder, part)
        self._bodies = bodies
        self._names = 0

    def put(self, page: Page) -> int:
        """Write the body, take the description."""
        path = self._target(page.body)
        with storage_errors(path):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                beside = self._beside(path)
                beside.write_bytes(page.body)
                beside.replace(path)
        return self._put(page, path.name)

    async def aput(self, page: Page) -> int:
        """`put` without ever blocking the event loop."""
        path = self._target(page.body)
        with storage_errors(path):
            if not await aiofiles.os.path.exists(path):
                await aiofiles.os.makedirs(path.parent, exist_ok=True)
                beside = self._beside(path)
                async with aiofiles.open(beside, "wb") as file:
                    await file.write(page.body)
                await aiofiles.os.replace(beside, path)
        return self._put(page, path.name)

    def _target(self, body: bytes) -> Path:
        name = hashlib.sha256(body).hexdigest()
        return self._bodies / name[:2] / name

    def _beside(self, path: Path) -> Path:
        """Equal bodies may be written by several tasks at once: each needs a name of its own."""
        self._names += 1
        return path.with_name(f".{self.part}-{self._names}")


class FilesStore(SqliteStore):
    """A folder of bodies and a folder of parts that describe them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._bodies = folder.parent / "bodies"
        with storage_errors(self._bodies):
            self._bodies.mkdir(exist_ok=True)

    def writer(self, part: str) -> FilesWriter:
        """Open a new part."""
        return FilesWriter(self._folder, part, self._bodies)

    def sweep(self, named: Mapping[str, Mapping[int, str]]) -> int:
        """Remove descriptions that do not exist, then the files that nothing describes."""
        if not named:
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

    def _body(self, packed: bytes | None, file: str | None) -> bytes:
        return (self._bodies / file[:2] / file).read_bytes() if file else b""
