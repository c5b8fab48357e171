"""The log of a run: a range of it, its last lines, and what is added while one watches.

Rules:
- A log is two files (capped_log.py), read as one: what came before, then the newest. They are opened at one moment, the
  newest first, so that a change of files in between leaves no gap.
- Whoever follows a log keeps a place in a file, by its inode, so that it goes on where the file has changed its name.
- Following ends with the run: what was written before its end is sent first.
- A log that is not there yet is empty.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from crawler.service.capped_log import earlier
from crawler.service.problems import RefusedRequest

CHUNK = 64 * 1024
MOST_TAIL = 1024 * 1024
"""Bytes that the last lines may have."""
POLL = 0.25
"""Seconds between two looks at a log that is followed."""
RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


class LogPlace(NamedTuple):
    """A position in one of the files of a log."""

    inode: int
    offset: int


class _Part(NamedTuple):
    file: BinaryIO
    inode: int
    size: int


class RunLog:
    """The log in `path` as it is now; to be closed. Its methods block, as reading files does."""

    def __init__(self, path: Path) -> None:
        self._stack = ExitStack()
        newest_first = [part for name in (path, earlier(path)) if (part := self._open(name)) is not None]
        different = {part.inode: part for part in newest_first}
        self._parts = [*different.values()][::-1]
        self.size = sum(part.size for part in self._parts)

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def read(self, start: int, most: int) -> bytes:
        """What there is from a position on, at most so many bytes; b"" only at the end."""
        for part in self._parts:
            if start < part.size:
                part.file.seek(start)
                return part.file.read(min(most, part.size - start))
            start -= part.size
        return b""

    def tail(self, lines: int) -> int:
        """The position where the last lines begin."""
        start = max(0, self.size - MOST_TAIL)
        text = b""
        while chunk := self.read(start + len(text), MOST_TAIL):
            text += chunk
        place = len(text) - text.endswith(b"\n")
        for _ in range(lines):
            place = text.rfind(b"\n", 0, max(place, 0))
            if place < 0:
                return start
        return start + (place + 1 if lines else len(text))

    def place(self, start: int) -> LogPlace | None:
        """The file and the offset of a position; None in a log without files."""
        for part in self._parts:
            if start < part.size or part is self._parts[-1]:
                return LogPlace(part.inode, start)
            start -= part.size
        return None

    def added(self, place: LogPlace | None) -> tuple[bytes, LogPlace | None]:
        """What follows a place, as much as one chunk, and the place after it."""
        at = next((number for number, part in enumerate(self._parts) if place and part.inode == place.inode), -1)
        offset = place.offset if place and at >= 0 else 0
        for part in self._parts[max(at, 0) :]:
            part.file.seek(offset)
            if text := part.file.read(CHUNK):
                return text, LogPlace(part.inode, offset + len(text))
            offset = 0
        return b"", place

    def _open(self, path: Path) -> _Part | None:
        with suppress(FileNotFoundError):
            file = self._stack.enter_context(path.open("rb"))
            about = os.fstat(file.fileno())
            return _Part(file, about.st_ino, about.st_size)
        return None


def last_lines(path: Path, lines: int) -> list[str]:
    """The last lines of a log as text."""
    log = RunLog(path)
    try:
        start, text = log.tail(lines), b""
        while chunk := log.read(start + len(text), CHUNK):
            text += chunk
        return text.decode("utf-8", "replace").splitlines()[-lines:]
    finally:
        log.close()


def requested_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first position and the one after the last that a header Range asks for; None where it asks for all, or in a
    way that may be ignored (RFC 9110, 14.2). Raises RefusedRequest (416)."""
    match = RANGE.fullmatch(header or "")
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(int(match[2] or size) + 1, size)
        if match[2] and int(match[2]) < start:
            return None
    if start >= size:
        raise RefusedRequest(416, f"the log has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return start, end


async def between(log: RunLog, start: int, end: int) -> AsyncGenerator[bytes, None]:
    """The bytes from a position to the one before another, in chunks."""
    while start < end and (chunk := await asyncio.to_thread(log.read, start, min(CHUNK, end - start))):
        start += len(chunk)
        yield chunk


async def follow(path: Path, lines: int | None, over: Callable[[], Awaitable[bool]]) -> AsyncGenerator[bytes, None]:
    """The last lines of a log (None: all), then what is added, until the run is `over`. b"" now and then, where nothing
    is."""
    place = await asyncio.to_thread(_first_place, path, lines)
    while True:
        ended = await over()
        chunk, place = await asyncio.to_thread(_added, path, place)
        yield chunk
        if not chunk:
            if ended:
                return
            await asyncio.sleep(POLL)


def _first_place(path: Path, lines: int | None) -> LogPlace | None:
    log = RunLog(path)
    try:
        return log.place(0 if lines is None else log.tail(lines))
    finally:
        log.close()


def _added(path: Path, place: LogPlace | None) -> tuple[bytes, LogPlace | None]:
    log = RunLog(path)
    try:
        return log.added(place)
    finally:
        log.close()
