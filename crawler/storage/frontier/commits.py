"""Counts the commits to a frontier's file, in the file and beside it, to detect lost ones.

SQLite ends its WAL where a checksum does not match: frames after a damaged one, or cut off, are ignored, and the rest
is a valid database. So each commit increments a number in `meta` and then, once it is committed, in the file `commits`:
8 bytes of the number, 8 of its xxh3. A database with a smaller number than that file has lost commits. A number that is
larger by one is normal: a kill came in between.

The file `commits` is best effort: where it cannot be written, it is only outdated. After a power cut either may be
older. What is left is consistent then, and a run continues from there.
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
    """Context manager: a transaction on a frontier's file that is counted. Raises StorageError."""
    with transaction(connection, path):
        yield connection
        number = committed(connection) + 1
        connection.execute(KEEP, (COMMITS, str(number)))
    write(path, number)


def committed(connection: sqlite3.Connection) -> int:
    """The number of commits in a file. Raises ValueError where it is damaged."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (COMMITS,)).fetchone()
    return 0 if row is None else int(row[0])


def write(path: Path, number: int) -> None:
    """Write the number of commits of a frontier's file to the file `commits` beside it."""
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
    """Remove the file `commits`, before the frontier's file is replaced."""
    path.with_name(COMMITS).unlink(missing_ok=True)
