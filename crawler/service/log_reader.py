"""The log of a run: its last lines, and what is added while one watches.

Rules:
- A log has a bound (`log_bytes`) and is replaced once it is full. Whoever follows it then goes on with the new file.
- Following ends with the run: what was written before its end is sent first.
- A log that is not there yet is empty.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

CHUNK = 64 * 1024
MOST_TAIL = 1024 * 1024
"""Bytes that the last lines may have."""
POLL = 0.25
"""Seconds between two looks at a log that is followed."""


def tail_start(path: Path, lines: int) -> int:
    """The position in a log where its last lines begin."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - MOST_TAIL)
            file.seek(start)
            text = file.read(size - start)
    except FileNotFoundError:
        return 0
    place = len(text) - text.endswith(b"\n")
    for _ in range(lines):
        place = text.rfind(b"\n", 0, max(place, 0))
        if place < 0:
            return start
    return start + (place + 1 if lines else len(text))


def read_from(path: Path, start: int, most: int = MOST_TAIL) -> bytes:
    """What a log has from a position on, at most so many bytes."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(most)
    except FileNotFoundError:
        return b""


async def follow(path: Path, start: int, over: Callable[[], Awaitable[bool]]) -> AsyncGenerator[bytes, None]:
    """A log from a position on, then what is added, until the run is `over`. b"" now and then, where nothing is."""
    inode = None
    while True:
        ended = await over()
        found = await asyncio.to_thread(_identity, path)
        if inode is not None and found is not None and (found[0] != inode or found[1] < start):
            start = 0
        inode = inode if found is None else found[0]
        chunk = await asyncio.to_thread(read_from, path, start, CHUNK)
        start += len(chunk)
        yield chunk
        if not chunk:
            if ended:
                return
            await asyncio.sleep(POLL)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size
