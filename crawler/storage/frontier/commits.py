"""Counts the commits to a frontier's file, in the file and beside it, so that lost ones are noticed.

SQLite ends its log where a checksum does not fit: what follows a damaged block, or was cut off, is as if it had never
been written, and nothing is wrong with what is left. So each commit also counts itself, in `meta` and, once it is safe,
in the file `commits`: 8 bytes of the number, 8 of its xxh3. A file that has counted fewer than stand beside it has lost
some. One more is usual: a kill came in between.

Nobody waits for the file beside it: where it cannot be written, it is only older than it might be. After a power cut
either may be older. What is left is whole then, and a run simply goes on from there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xxhash import xxh3_64_digest

from crawler.storage.database import transaction
from crawler.storage.frontier.schema import sealed

COMMITS = "commits"
KEEP = f"""INSERT INTO meta (key, value, checksum) VALUES (?1, ?2, {sealed("meta", {"key": "?1", "value": "?2"})})
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, checksum = excluded.checksum"""
LENGTH = 16


@contextmanager
def counted(connection: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """A transaction on a frontier's file, all or nothing, that is counted. Raises StorageError."""
    with transaction(connection, path):
        yield connection
        number = committed(connection) + 1
        connection.execute(KEEP, (COMMITS, str(number)))
    write(path, number)


def committed(connection: sqlite3.Connection) -> int:
    """How many commits a file holds."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (COMMITS,)).fetchone()
    return 0 if row is None else int(row[0])


def write(path: Path, number: int) -> None:
    """Note beside a frontier's file that so many commits are safe in it."""
    encoded = number.to_bytes(8, "big")
    with suppress(OSError):
        descriptor = os.open(path.with_name(COMMITS), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(descriptor, encoded + xxh3_64_digest(encoded), 0)
        finally:
            os.close(descriptor)


def noted(path: Path) -> int | None:
    """The number beside a frontier's file; 0 where there is none, None where it cannot be read."""
    try:
        content = path.with_name(COMMITS).read_bytes()
    except OSError:
        return 0
    if not content:
        return 0
    encoded, checksum = content[:8], content[8:]
    whole = len(content) == LENGTH and checksum == xxh3_64_digest(encoded)
    return int.from_bytes(encoded, "big") if whole else None


def forget(path: Path) -> None:
    """Before a frontier's file is replaced: what stands beside it is of another."""
    path.with_name(COMMITS).unlink(missing_ok=True)
