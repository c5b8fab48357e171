"""The last lines of a log, whatever its size."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

MOST_BYTES = 64_000


async def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a file, read on a thread; none where it does not exist or cannot be read."""
    return await asyncio.to_thread(_tail, path, lines)


def _tail(path: Path, lines: int) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - MOST_BYTES)
            file.seek(start)
            text = file.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    found = text.splitlines()
    return found[1 if start and len(found) > 1 else 0 :][-lines:]
