"""The default store: pages in SQLite parts, bodies compressed with zstd level 1.

A part is `parts/NAME.sqlite` with one table `page`; `body` is a zstd frame. Compression and insertion happen in
`flush`, on the recorder's writer thread, which releases the GIL for most of it. A part has a lock file beside it until
its writer closes it. `checksum` detects damage to a record; where it does not match, reading raises Corrupt.

The page size is 32 KiB: a usual body then needs no chain of overflow pages of 4 KiB that are each written twice (to the
WAL, then to the file): 9 us less per body of 30 kB, for a file that is 5 % larger.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from crawler.errors import Busy, Corrupt, DiskFull, MemoryShort, StorageError
from crawler.fetch.base import Headers
from crawler.storage.database import (
    PRIVATE,
    any_text,
    columns_there,
    connect,
    connect_to_read,
    from_sql_text,
    row_checksum,
    storage_errors,
    to_sql_text,
    transaction,
)
from crawler.storage.pages.base import Page
from crawler.storage.recovery import readable_rows
from crawler.system.failpoints import passing
from crawler.system.file_lock import FileLock

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SCHEMA = """
CREATE TABLE IF NOT EXISTS page (
    position INTEGER PRIMARY KEY,
    url TEXT NOT NULL,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    fetched_at REAL NOT NULL,
    seconds REAL NOT NULL,
    first_byte REAL NOT NULL,
    content_type TEXT NOT NULL,
    charset TEXT NOT NULL,
    digest BLOB NOT NULL,
    length INTEGER NOT NULL,
    truncated TEXT NOT NULL,
    noindex INTEGER NOT NULL,
    body BLOB,
    file TEXT,
    checksum INTEGER
);
"""
FACTS = (
    *("position", "url", "status", "headers", "fetched_at", "seconds", "first_byte", "content_type", "charset"),
    *("digest", "length", "truncated", "noindex", "file"),
)
"""The columns that the checksum of a record covers, in this order; the digest covers its body. Parts of format 3 have
no checksum."""
INSERT = f"INSERT INTO page ({', '.join(FACTS)}, body, checksum) VALUES ({', '.join('?' * (len(FACTS) + 2))})"
UNREADABLE = (zstd.ZstdError, OSError, ValueError, TypeError, AttributeError, OverflowError, msgspec.MsgspecError)
"""The errors of decoding a damaged record."""
LEVEL = 1
PAGE_SIZE = 32_768
ORPHAN_PATIENCE = 10.0


class SqliteWriter:
    """Writes one part. A body for which `_put` gets a `file` is stored there, by the subclass."""

    def __init__(self, folder: Path, part: str) -> None:
        self.part = part
        self._taken = self._flushed = 0  # bytes; each is written by one thread only, so neither needs a lock
        self._path = folder / f"{part}.sqlite"
        self._lock = FileLock(folder / f"{part}.lock")
        self._lock.acquire(f"part {part}")
        try:
            self._connection = connect(self._path, SCHEMA, PAGE_SIZE)
        except BaseException:
            self._lock.release()
            raise
        self._position = 0
        self._failure: StorageError | None = None
        self._waiting: deque[tuple[int, Page, str | None]] = deque()
        self._compress = zstd.ZstdCompressor(level=LEVEL)

    def put(self, page: Page) -> int:
        """Buffer a page; returns its position."""
        return self._put(page, None)

    async def aput(self, page: Page) -> int:
        """As `put`, which does not wait for a disk."""
        return self._put(page, None)

    @property
    def buffered(self) -> int:
        """Bytes put and not yet written."""
        return self._taken - self._flushed

    def _put(self, page: Page, file: str | None) -> int:
        position, taken = self._position + 1, self._taken + len(page.body)
        self._waiting.append((position, page, file))  # the last step that may fail, so that no position is used twice
        self._position, self._taken = position, taken
        return position

    def flush(self) -> None:
        """Write the buffered pages. A page leaves the buffer only after its commit, so DiskFull, Busy and MemoryShort
        can be retried.

        Any other failure is final: after a failed fsync the kernel may have dropped dirty pages, and a second fsync
        that succeeds would prove nothing. Raises StorageError.
        """
        if self._failure is not None:
            raise self._failure
        count = len(self._waiting)
        if not count:
            return
        rows = (self._row(*self._waiting[index]) for index in range(count))  # one at a time: bodies may be large
        try:
            with transaction(self._connection, self._path) as connection:
                connection.executemany(INSERT, rows)
                passing("store.flush")
        except StorageError as error:
            may_pass = isinstance(error, DiskFull | Busy | MemoryShort)
            self._failure = None if may_pass else error
            raise
        for _ in range(count):
            _, page, _ = self._waiting.popleft()
            self._flushed += len(page.body)

    def close(self) -> None:
        """Flush, close the file and release the part's lock."""
        try:
            self.flush()
        finally:
            with storage_errors(self._path):
                passing("store.close")
                self._connection.close()
                if not self._position:
                    self._path.unlink(missing_ok=True)
                self._lock.path.unlink(missing_ok=True)
            self._lock.release()

    def _row(self, position: int, page: Page, file: str | None) -> tuple[object, ...]:
        body = self._compress.compress(page.body, zstd.ZstdCompressor.FLUSH_FRAME) if file is None else None
        facts = (
            position,
            to_sql_text(page.url),
            page.status,
            _as_json(page.headers),
            float(page.fetched_at),
            float(page.seconds),
            float(page.first_byte),
            to_sql_text(page.content_type),
            page.charset,
            page.digest,
            len(page.body),
            page.truncated,
            int(page.noindex),
            file,
        )
        return *facts, body, row_checksum(*facts)


class SqliteStore:
    """A folder of SQLite parts. Nothing is written before a flush, which the recorder retries while the disk is full:
    `disk_wait` (seconds) is for stores that write at once."""

    def __init__(self, folder: Path, disk_wait: float = 0.0) -> None:
        self._folder = folder
        with storage_errors(folder):
            folder.mkdir(PRIVATE, parents=True, exist_ok=True)

    def writer(self, part: str) -> SqliteWriter:
        """Open a new part."""
        return SqliteWriter(self._folder, part)

    def parts(self) -> list[str]:
        """The names of all parts."""
        return sorted(path.stem for path in self._folder.glob("*.sqlite"))

    def read(self, part: str, position: int) -> Page:
        """One page. Raises KeyError where it is missing, Corrupt where it is damaged."""
        with self._reading(part) as connection:
            query = f"SELECT {_columns(connection)} FROM page WHERE position = ?"
            row = connection.execute(query, (position,)).fetchone()
        if row is None:
            raise KeyError(f"{part}:{position}")
        return self._page(part, row)

    def pages(self, part: str) -> Iterator[tuple[int, Page]]:
        """All records of a part."""
        with self._reading(part) as connection:
            for row in connection.execute(f"SELECT {_columns(connection)} FROM page ORDER BY position"):
                yield row[0], self._page(part, row)

    def records(self, part: str) -> Iterator[tuple[int, Page | None]]:
        """All records of a part, None for each that is damaged."""
        last = 0
        try:
            with self._reading(part) as connection:
                for row in connection.execute(f"SELECT {_columns(connection)} FROM page ORDER BY position"):
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
            return self._page(part, row)
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
        return sum(self._sweep_part(self._folder / f"{part}.sqlite", kept) for part, kept in named.items())

    def _sweep_part(self, path: Path, named: Mapping[int, str]) -> int:
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire(f"part {path.stem}", ORPHAN_PATIENCE)
        try:
            with closing(connect(path, SCHEMA)) as connection, transaction(connection, path):
                every = connection.execute("SELECT position FROM page").fetchall()
                gone = [row for row in every if row[0] not in named]
                if len(every) - len(gone) < len(named):
                    raise Corrupt(f"{path} has lost pages that the frontier names; rebuild it with the command repair")
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
        if not packed:
            return b""
        unpacking = zstd.ZstdDecompressor()
        body: bytes = unpacking.decompress(packed, max_length=length + 1)  # a damaged frame might be huge
        if not unpacking.eof or len(body) != length:
            raise ValueError(f"its body is not of {length} bytes")
        return body

    def _page(self, part: str, row: sqlite3.Row) -> Page:
        *facts, packed, checksum = row
        position, url, status, headers, fetched_at, seconds, first_byte, *more = facts
        content_type, charset, digest, length, truncated, noindex, file = more
        try:
            if checksum is not None and checksum != row_checksum(*facts):
                raise ValueError("it is not what was written")
            return msgspec.convert(
                {
                    "url": from_sql_text(url),
                    "status": status,
                    "headers": tuple((name, value) for name, value in json.loads(headers)),
                    "fetched_at": fetched_at,
                    "seconds": seconds,
                    "first_byte": first_byte,
                    "content_type": from_sql_text(content_type),
                    "charset": charset,
                    "digest": digest,
                    "body": self._body(packed, file, length),
                    "truncated": truncated,
                    "noindex": bool(noindex),
                },
                Page,
            )
        except UNREADABLE as error:
            raise Corrupt(f"page {position} of part {part} ({url}) cannot be read: {error}") from error


def _columns(connection: sqlite3.Connection) -> str:
    """The columns that `_page` reads."""
    checksum = "checksum" if "checksum" in columns_there(connection, "page") else "NULL"
    return f"{', '.join(FACTS)}, body, {checksum}"


def _as_json(headers: Headers) -> str:
    try:
        return msgspec.json.encode(headers).decode()
    except UnicodeEncodeError:  # JSON in ASCII can escape lone surrogates, JSON in UTF-8 cannot have them
        return json.dumps(headers)
