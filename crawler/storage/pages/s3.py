"""Pages in an object store: a part is a folder of small SQLite files, each uploaded whole.

    PREFIX/parts/0001-000/0000000001-0000000032.sqlite    the records 1 to 32 of part 0001-000
    PREFIX/open/0001-000                                  its writer has not closed it

Rules:
- A flush uploads what was put since the last one, in objects of about MOST_BYTES at most, and returns when the server
  has them. So they are there before the commit that names them, and a kill leaves at most objects that no row names.
- An upload that failed is repeated as it was, under the same name: the server may have it already.
- An object is what a part of the store `sqlite` is (crawler/storage/pages/record.py): downloaded, any tool reads it.
- The objects that were read last are kept, up to CACHE bytes: an export reads each about once.
- A body that another generation has is not stored again: the record names it, as in the store `sqlite`. Each generation
  is below a prefix of its own.
- Parts have one writer because the directory of a crawl has a lock; no object is ever changed but by `sweep`.
"""

from __future__ import annotations

import re
import sqlite3
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from crawler.errors import Corrupt, Locked, StorageError
from crawler.fetch.base import Headers
from crawler.storage.database import any_text, storage_errors
from crawler.storage.generations import is_elsewhere
from crawler.storage.pages.base import Page
from crawler.storage.pages.bucket import Bucket
from crawler.storage.pages.record import (
    BODIES,
    INSERT,
    SCHEMA,
    body_of,
    columns_to_read,
    compressor,
    head_of,
    page_of,
    record_row,
)
from crawler.system.failpoints import passing

MOST_BYTES = 8 * 1024 * 1024
CACHE = 64 * 1024 * 1024
PAGE_SIZE = 4096
PARTS = "parts"
OPEN = "open"
NAMED = re.compile(r"(?P<first>[0-9]{10})-(?P<last>[0-9]{10})\.sqlite", re.ASCII)
HEAD = "headers, file"
Row = tuple[object, ...]


class Piece(NamedTuple):
    """An object of a part: the positions of its first and last record, and its path."""

    first: int
    last: int
    path: str


class Unsent(NamedTuple):
    """An object on its way: its path and content, the position of its last record, the bytes of its bodies."""

    path: str
    content: bytes
    last: int
    size: int


class S3Writer:
    """Writes one part, object by object."""

    def __init__(self, bucket: Bucket, part: str) -> None:
        self.part = part
        self._bucket = bucket
        self._position = 0
        self._taken = self._flushed = 0  # bytes; each is written by one thread only, so neither needs a lock
        self._waiting: deque[tuple[int, Page]] = deque()
        self._unsent: Unsent | None = None
        self._sent = 0
        self._compress = compressor()
        if bucket.objects(f"{PARTS}/{part}"):
            raise Locked(f"part {part} of {bucket} has a writer, or had one")
        bucket.put(f"{OPEN}/{part}", b"")

    def put(self, page: Page) -> int:
        """Buffer a page; returns its position."""
        position, taken = self._position + 1, self._taken + len(page.body)
        self._waiting.append((position, page))  # the last step that may fail, so that no position is used twice
        self._position, self._taken = position, taken
        return position

    async def aput(self, page: Page) -> int:
        """As `put`, which waits for nothing."""
        return self.put(page)

    @property
    def buffered(self) -> int:
        """Bytes put and not yet uploaded."""
        return self._taken - self._flushed

    def flush(self) -> None:
        """Upload the buffered pages. Raises StorageError; Unreachable can be retried."""
        until = self._position
        while self._sent < until:
            if self._unsent is None:
                self._unsent = self._pack()
            path, content, last, size = self._unsent
            self._bucket.put(path, content)
            with storage_errors(Path(path)):
                passing("store.flush")
            self._unsent, self._sent = None, last
            self._flushed += size

    def _pack(self) -> Unsent:
        """Make the next object of buffered pages. They leave the buffer once it is made: memory may be short."""
        rows: list[Row] = []
        size = packed = 0
        for index in range(len(self._waiting)):
            position, page = self._waiting[index]
            rows.append(record_row(position, page, page.stored_at or None, self._compress))
            size += len(page.body)
            packed += _length(rows[-1])
            if packed >= MOST_BYTES:
                break
        first, last = self._sent + 1, self._sent + len(rows)
        unsent = Unsent(f"{PARTS}/{self.part}/{first:010d}-{last:010d}.sqlite", packed_rows(rows), last, size)
        for _ in rows:
            self._waiting.popleft()
        return unsent

    def close(self) -> None:
        """Upload what is left and close the part."""
        self.flush()
        self._bucket.delete([f"{OPEN}/{self.part}"])


def _length(row: Row) -> int:
    """About how many bytes a row takes."""
    return sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)


def packed_rows(rows: Sequence[Row]) -> bytes:
    """An SQLite file of these records."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        connection.executescript(SCHEMA)
        connection.execute("BEGIN")
        connection.executemany(INSERT, rows)
        connection.execute("COMMIT")
        return connection.serialize()


class S3Pages:
    """The parts of a crawl in a bucket. `generation` finds those of another generation by its number, and raises
    KeyError where there is none."""

    def __init__(self, bucket: Bucket, generation: Callable[[str], S3Pages]) -> None:
        self._bucket = bucket
        self._generation = generation
        self._others: dict[str, S3Pages] = {}
        self._pieces: dict[str, list[Piece]] = {}
        self._kept: OrderedDict[str, tuple[sqlite3.Connection, int]] = OrderedDict()

    def writer(self, part: str) -> S3Writer:
        """Open a new part."""
        return S3Writer(self._bucket, part)

    def parts(self) -> list[str]:
        """The names of all parts."""
        return self._bucket.folders(PARTS)

    def holds(self, part: str) -> bool:
        """Whether there is such a part, here or in another generation."""
        if not is_elsewhere(part):
            return part in self.parts()
        try:
            pages, name = self._elsewhere(part)
        except KeyError:
            return False
        return name in pages.parts()

    def head(self, part: str, position: int) -> tuple[Headers, str]:
        """The headers of a page, and the record of another generation that has its body ("": it has it itself). Raises
        as `read`."""
        if is_elsewhere(part):
            pages, name = self._elsewhere(part)
            return pages.head(name, position)
        headers, file = head_of(part, position, self._row(part, position, HEAD))
        return headers, file if is_elsewhere(file) else ""

    def read(self, part: str, position: int) -> Page:
        """One page. Raises KeyError where it is missing, Corrupt where it is damaged."""
        if is_elsewhere(part):
            pages, name = self._elsewhere(part)
            return pages.read(name, position)
        return page_of(part, self._row(part, position), self._body)

    def _row(self, part: str, position: int, columns: str = "") -> Row:
        """The columns of a record, all for "". Raises as `read`."""
        piece = self._piece(part, position)
        with storage_errors(Path(piece.path)):
            connection = self._open(piece)
            columns = columns or columns_to_read(connection)
            row: Row | None = connection.execute(
                f"SELECT {columns} FROM page WHERE position = ?", (position,)
            ).fetchone()
        if row is None:
            raise KeyError(f"{part}:{position}")
        return row

    def _elsewhere(self, part: str) -> tuple[S3Pages, str]:
        """The pages of another generation, and the name of a part there. Raises KeyError."""
        number, _, name = part.partition("/")
        if number not in self._others:
            self._others[number] = self._generation(number)
        return self._others[number], name

    def _body(self, packed: bytes | None, file: str | None, length: int) -> bytes:
        return body_of(packed, file, length, self.read)

    def bodies_elsewhere(self) -> Iterator[tuple[str, str]]:
        """The records of other generations that have bodies of pages here, and the URLs of these."""
        for part in self.parts():
            for piece in self._list(part):
                with storage_errors(Path(piece.path)), closing(_connection(self._bucket.get(piece.path))) as connection:
                    yield from connection.execute(BODIES).fetchall()

    def close(self) -> None:
        """Forget the objects that `read` has kept."""
        for pages in self._others.values():
            pages.close()
        while self._kept:
            self._kept.popitem()[1][0].close()
        self._pieces.clear()

    def pages(self, part: str) -> Iterator[tuple[int, Page]]:
        """All records of a part."""
        for piece in self._list(part):
            for row in self._rows_of(piece):
                yield int(str(row[0])), page_of(part, row, self._body)

    def records(self, part: str) -> Iterator[tuple[int, Page | None]]:
        """All records of a part, None for each that is damaged, or that a damaged object should have."""
        for piece in self._list(part):
            try:
                rows = self._rows_of(piece)
            except StorageError:
                yield from ((position, None) for position in range(piece.first, piece.last + 1))
                continue
            for row in rows:
                try:
                    yield int(str(row[0])), page_of(part, row, self._body)
                except Corrupt:
                    yield int(str(row[0])), None

    def last(self, part: str) -> int:
        """The highest position in a part, 0 for an empty one."""
        return max((piece.last for piece in self._list(part)), default=0)

    def unclosed(self) -> list[str]:
        """Parts whose writer has not closed them."""
        return [path.rpartition("/")[2] for path in self._bucket.objects(OPEN)]

    def sweep(self, named: Mapping[str, Mapping[int, str]]) -> int:
        """Remove the records that are not named. Raises Corrupt where a named record is missing."""
        return sum(self._sweep_part(part, kept) for part, kept in named.items())

    def _sweep_part(self, part: str, named: Mapping[int, str]) -> int:
        self.close()
        gone = found = 0
        changed: dict[str, bytes | None] = {}
        for piece in self._list(part):
            content = self._bucket.get(piece.path)
            with storage_errors(Path(piece.path)), closing(_connection(content)) as connection:
                every = connection.execute("SELECT position FROM page").fetchall()
                unnamed = [row for row in every if row[0] not in named]
                if unnamed:
                    connection.executemany("DELETE FROM page WHERE position = ?", unnamed)
                    changed[piece.path] = connection.serialize() if len(unnamed) < len(every) else None
            found += len(every) - len(unnamed)
            gone += len(unnamed)
        if found < len(named):
            raise Corrupt(f"{self._bucket} lacks pages of part {part} that the frontier names; restore its objects")
        for path, left in changed.items():
            if left is None:
                self._bucket.delete([path])
            else:
                self._bucket.put(path, left)
        self._bucket.delete([f"{OPEN}/{part}"])
        return gone

    def remove(self) -> None:
        """Remove all parts."""
        self.close()
        for part in self.parts():
            self._bucket.delete(self._bucket.objects(f"{PARTS}/{part}"))
        self._bucket.delete(self._bucket.objects(OPEN))

    def copy_newest(self, folder: Path, most: int) -> None:
        """Write the `most` newest objects of the newest run into a folder, as parts of the store `sqlite`."""
        newest = max((part[:4] for part in self.parts()), default="")
        mine = [part for part in self.parts() if newest and part.startswith(f"{newest}-")]
        for part in mine:
            for piece in self._list(part)[-max(1, most // len(mine)) :]:
                path = folder / f"{part}-{piece.first:010d}.sqlite"
                content = self._bucket.get(piece.path)
                with storage_errors(path):
                    path.write_bytes(content)

    def _list(self, part: str) -> list[Piece]:
        """The objects of a part, in the order of their records."""
        paths = self._bucket.objects(f"{PARTS}/{part}")
        names = ((path, NAMED.fullmatch(path.rpartition("/")[2])) for path in paths)
        return sorted(Piece(int(name["first"]), int(name["last"]), path) for path, name in names if name)

    def _piece(self, part: str, position: int) -> Piece:
        """The object that should have a record; lists the part again where it is not known. Raises KeyError."""
        for fresh in (False, True):
            if fresh or part not in self._pieces:
                self._pieces[part] = self._list(part)
            for piece in self._pieces[part]:
                if piece.first <= position <= piece.last:
                    return piece
        raise KeyError(f"{part}:{position}")

    def _open(self, piece: Piece) -> sqlite3.Connection:
        """A connection to an object, downloaded if it is not kept."""
        if piece.path in self._kept:
            self._kept.move_to_end(piece.path)
            return self._kept[piece.path][0]
        content = self._bucket.get(piece.path)
        connection = _connection(content)
        self._kept[piece.path] = connection, len(content)
        while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > CACHE:
            self._kept.popitem(last=False)[1][0].close()
        return connection

    def _rows_of(self, piece: Piece) -> list[Row]:
        """All rows of an object. Raises Corrupt."""
        content = self._bucket.get(piece.path)
        with storage_errors(Path(piece.path)), closing(_connection(content)) as connection:
            query = f"SELECT {columns_to_read(connection)} FROM page ORDER BY position"
            return list(connection.execute(query).fetchall())


def _connection(content: bytes) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.text_factory = any_text
    try:
        connection.deserialize(content)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
