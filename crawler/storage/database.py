"""Opens SQLite files and maps errors of SQLite and the disk to StorageError.

Rules:
- Exactly one connection, in one process, ever writes or checkpoints a file (releases before 3.51.3 can corrupt a WAL
  database that two write at once). Readers open `mode=ro`, which never checkpoints.
- No connection crosses a fork. WAL with synchronous=NORMAL: safe against any kill of the process; a power cut may cost
  the last commits but never the consistency of the file.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.reasons import Pause
from crawler.errors import Busy, Corrupt, DiskFull, MemoryShort, StorageError, Unreachable
from crawler.system.text import escape_unprintable
from crawler.system.threads import NO_MORE

T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode

DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_IOERR_SHORT_READ", "SQLITE_TOOBIG")
SIGNS = ("Could not decode to UTF-8", "unsupported file format", "user-defined function raised", "malformed")
"""Error names and messages of SQLite and its driver for damaged files."""
LOG = 4 * 1024 * 1024
LOG_INDEX = 32 * 1024
PRIVATE = 0o700  # of a folder for its owner alone
BUSY = 5.0
"""Seconds that SQLite itself waits for a lock, in each call."""
LOCK_WAIT = 120.0
"""Seconds to wait for a lock of another process: a backup, or a query by hand, has ended by then."""
MEMORY_WAIT = 5.0
"""Seconds to wait for memory: the fetches in flight have finished by then and freed theirs."""


def to_sql_text(text: str) -> str | bytes:
    """Text as a value for a column. TEXT in SQLite is UTF-8, which has no lone surrogates: remote text with some is
    stored as a BLOB (surrogatepass)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def from_sql_text(value: str | bytes) -> str:
    """The text of a value that `to_sql_text` made."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")


def any_text(raw: bytes) -> str:
    """A text factory for files that may be damaged: invalid UTF-8 becomes lone surrogates."""
    return raw.decode("utf-8", "surrogateescape")


def row_checksum(*row: object) -> int:
    """A 63-bit checksum of a row, its values in a fixed order; -1 where text is not valid Unicode. (Two rows collide
    by accident with a probability of 1e-19.)"""
    try:
        return xxh3_64_intdigest(_encode(row)) >> 1
    except UnicodeEncodeError:
        return -1


def add_checksum(connection: sqlite3.Connection) -> None:
    """Register `row_checksum` as an SQL function of a connection."""
    connection.create_function("row_checksum", -1, row_checksum, deterministic=True)


def columns_there(connection: sqlite3.Connection, table: str) -> set[str]:
    """The columns that a table has in this file; none where there is no such table."""
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Context manager: map errors of SQLite and the disk about `path` to one line with what to do.

    Raises DiskFull, MemoryShort, Busy, Corrupt, and StorageError for all others."""
    try:
        yield
    except sqlite3.Error as error:
        raise _storage_error(path, error) from error
    except UnicodeDecodeError as error:  # in SQLite's message about a damaged file
        raise Corrupt(
            f"{path} is damaged ({error.reason}); restore it from a backup, or use the command repair"
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left for {path}; free some, then resume") from error
        raise StorageError(f"cannot use {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise MemoryShort(f"no memory is left to write {path}; raise the limit, then resume") from error
    except RuntimeError as error:
        if NO_MORE not in str(error):
            raise
        raise StorageError(f"cannot use {path}: no more threads can be started") from error


def _storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    name = getattr(error, "sqlite_errorname", "") or ""
    words = escape_unprintable(" ".join(str(error).split()))  # it may quote what is damaged
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR_SHMSIZE") and _is_full(path.parent)):
        return DiskFull(f"no space left for {path}; free some, then resume")
    if name.startswith(DAMAGED) or any(words in str(error) for words in SIGNS):
        return Corrupt(f"{path} is damaged ({words}); restore it from a backup, or use the command repair")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Busy(f"{path} is locked by another program; close that, then resume")
    if isinstance(error, sqlite3.OperationalError) and "no such" in str(error):
        return Corrupt(f"{path} is damaged, or was not made by this program ({words}); use the command repair")
    return StorageError(f"cannot use {path}: {words}")


def _is_full(folder: Path) -> bool:
    """Whether there is no space for the index of a WAL, since SQLite's error for it does not name the cause."""
    with suppress(OSError):
        return shutil.disk_usage(folder).free < LOG_INDEX
    return False


def connect(path: Path, schema: str, page_size: int = 4096) -> sqlite3.Connection:
    """The only writing connection of a file, which is created if missing. Threads may use it one at a time.

    `page_size` (bytes) counts only where the file is created; its WAL grows to LOG bytes before a checkpoint. A new
    file is readable only by its owner, whatever the umask: it may hold cookies and pages behind a login. SQLite gives
    the WAL the same permissions. Raises StorageError.
    """
    with storage_errors(path):
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, BUSY, isolation_level=None, check_same_thread=False, cached_statements=64)
        try:
            connection.execute(f"PRAGMA page_size={page_size}")  # before WAL mode: after that it is fixed
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA wal_autocheckpoint={LOG // page_size}")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(schema)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A read-only connection, also while another process writes. Threads may use it one at a time. Raises Corrupt
    or StorageError.

    In WAL mode even a reader writes (the index of the WAL). Where it may not (an archive, the files of another user)
    and there is no WAL, there is no writer, and the file is opened as immutable.
    """
    with storage_errors(path):
        try:
            return _reader(path, "mode=ro")
        except sqlite3.OperationalError as error:
            may_not = error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))
            if not may_not or not path.exists() or path.with_name(f"{path.name}-wal").exists():
                raise
            return _reader(path, "mode=ro&immutable=1")


def _reader(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{how}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def retry_storage(
    action: Callable[[], T],
    seconds: float,
    hurry: Callable[[], bool] = lambda: False,
    pause: Callable[[Pause, bool], None] = lambda why, lasts: None,
) -> T:
    """Run a storage action, with retries: on DiskFull and Unreachable once a second for `seconds`, on Busy (another
    process has locked the file) for LOCK_WAIT, on MemoryShort for MEMORY_WAIT; none once `hurry` is true. Calls `pause`
    when waiting begins and ends.

    Raises StorageError.
    """
    began = monotonic()
    waiting: Pause | None = None
    try:
        while True:
            try:
                return action()
            except (DiskFull, Unreachable, Busy, MemoryShort) as error:
                why, patience = _patience(error, seconds)
                if monotonic() - began >= patience or hurry():
                    raise
                if waiting is None:
                    waiting = why
                    pause(why, True)
                sleep(min(1.0, patience) if why is not Pause.MEMORY else MEMORY_WAIT / 50)
    finally:
        if waiting is not None:
            pause(waiting, False)


def _patience(error: StorageError, seconds: float) -> tuple[Pause, float]:
    """The pause for an error, and for how many seconds to retry."""
    match error:
        case Busy():
            return Pause.LOCKED, LOCK_WAIT
        case MemoryShort():
            return Pause.MEMORY, MEMORY_WAIT
        case Unreachable():
            return Pause.SERVER, seconds
    return Pause.DISK, seconds


async def akeep_trying(action: Callable[[], Awaitable[None]], seconds: float) -> None:
    """`retry_storage` on an event loop, for DiskFull only. Raises StorageError."""
    give_up_at = monotonic() + seconds
    while True:
        try:
            return await action()
        except DiskFull:
            if monotonic() >= give_up_at:
                raise
            await asyncio.sleep(min(1.0, seconds))


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """Context manager: one transaction, rolled back on any exception. Raises StorageError."""
    with storage_errors(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
