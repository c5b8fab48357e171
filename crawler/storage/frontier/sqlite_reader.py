"""Reads the SQLite file of a frontier, row by row, with its checksums.

Rules:
- Every row that is used is compared with its checksum. One that does not match, or cannot be decoded, raises Corrupt,
  whose message names the command that repairs it; a `lenient` reader ignores checksums and tolerates such rows.
- Files of format 3 have no checksums and lack some columns: they are read as far as they go.
- The queries of a host's queue name the partial index they use, see sqlite.py: without it they would scan every URL.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from crawler.core.messages import Budget, Cookie, CookieNote, HostNote, Link, OutboxLink
from crawler.core.urls.canonical import host_of
from crawler.errors import Corrupt
from crawler.metrics.counters import Tally
from crawler.storage.database import add_checksum, any_text, storage_errors
from crawler.storage.frontier import beyond
from crawler.storage.frontier.base import Left
from crawler.storage.frontier.encoding import (
    NOTED,
    UNREADABLE,
    decoded_via,
    host_mark,
    link_of,
    note_of,
    settled_row_of,
)
from crawler.storage.frontier.meta import read_tally
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.frontier.schema import COLUMNS, is_sealed
from crawler.system.failpoints import passing

REPAIR = "the command repair"
LINK = "id, url, depth, via, attempts, status"
PENDING = """SELECT {} FROM url INDEXED BY owed
    WHERE host = ? AND reason IS NULL AND id > ? AND attempts = 0 ORDER BY id LIMIT ?"""
RETRIED = """SELECT {} FROM url INDEXED BY retried
    WHERE host = ? AND reason IS NULL AND attempts > 0 ORDER BY id"""
NEXT_HOST = "SELECT {} FROM url INDEXED BY owed WHERE host > ? AND reason IS NULL ORDER BY host LIMIT 1"
SETTLED = "SELECT {} FROM url WHERE reason IS NOT NULL ORDER BY id"
SETTLED_AFTER = "SELECT {} FROM url WHERE reason IS NOT NULL AND id > ? ORDER BY id"
BY_URL = "SELECT {} FROM url WHERE reason IS NOT NULL ORDER BY url"
ONE = "SELECT {} FROM url WHERE reason IS NOT NULL AND url = ?"
WHOLE = f"checksum IS row_checksum({', '.join(COLUMNS['url'])})"
ALL = ", ".join(COLUMNS["url"])


class SqliteReader:
    """Reads a frontier's file through `connection`; `seed` is that of the crawl. Raises Corrupt and StorageError."""

    def __init__(self, connection: sqlite3.Connection, path: Path, seed: int, lenient: bool) -> None:
        self._connection = connection
        self._path = path
        self._seed = seed
        self._lenient = lenient
        add_checksum(connection)
        if lenient:
            connection.text_factory = any_text
        with storage_errors(path):
            self._sealed = is_sealed(connection)
        self._noted = NOTED if self._sealed else NOTED.replace("heard, down_for", "robots IS NOT NULL, 0")

    def owed(self) -> Iterator[Link]:
        """The links not settled."""
        return self._links("SELECT {} FROM url WHERE reason IS NULL ORDER BY id")

    def pending(self, host: str, after: int, count: int) -> list[Link]:
        """A window of the links of a host."""
        return list(self._links(PENDING, host_mark(host, self._seed), after, count))

    def retried(self, host: str) -> list[Link]:
        """The links of a host that wait for a retry."""
        return list(self._links(RETRIED, host_mark(host, self._seed)))

    def hosts(self, after: str, count: int) -> list[str]:
        """Hosts with owed links, in the order of their marks."""
        names: list[str] = []
        mark = host_mark(after, self._seed) if after else -1
        while len(names) < count and (row := next(self._whole(NEXT_HOST, "id, host, url", mark), None)) is not None:
            mark = row[1]
            names.append(host_of(row[2]))
        return names

    def left(self) -> Left:
        """The figures that a resume needs."""
        seeds = next(self._rows("SELECT count(*) FROM url INDEXED BY seed WHERE reason IS NULL AND depth = 0"))[0]
        retried = self._rows("SELECT url FROM url INDEXED BY retried WHERE reason IS NULL AND attempts > 0")
        with self._decoding():
            hosts = Counter(host_of(url) for (url,) in retried)
        joined = tuple(host for (host,) in self._rows("SELECT host FROM host INDEXED BY joined WHERE joined"))
        return Left(seeds, hosts.total(), tuple(hosts), joined)

    def count(self) -> int:
        """How many URLs there are."""
        return next(self._rows("SELECT count(*) FROM url"))[0]  # type: ignore[no-any-return]

    def urls(self) -> Iterator[str]:
        """Every URL."""
        for key, url in self._rows("SELECT id, url FROM url"):
            if not isinstance(url, str):  # SQLite may read rows of NULL from a truncated page
                raise self._damaged(key)
            yield url

    def outbox(self) -> Iterator[OutboxLink]:
        """The unacknowledged links to other shards."""
        with self._decoding():
            for (foreign,) in self._checked("outbox", "foreign_link", "ORDER BY seq"):
                yield msgspec.json.decode(foreign, type=OutboxLink)

    def notes(self) -> Iterator[HostNote]:
        """The latest notes."""
        return map(note_of, self._checked("host", self._noted, ""))

    def note(self, host: str) -> HostNote | None:
        """The latest note of a host."""
        row = next(self._checked("host", self._noted, "WHERE host = ?", host), None)
        return None if row is None else note_of(row)

    def budgets(self, host: str) -> tuple[Budget, ...]:
        """The budgets of a host."""
        rows = self._checked("budget", "spent", "WHERE host = ?", host)
        with self._decoding():
            return tuple(msgspec.json.decode(spent, type=Budget) for (spent,) in rows)

    def settled(self, by_url: bool = False) -> Iterator[SettledRow]:
        """Every settled URL."""
        return self._settled(BY_URL if by_url else SETTLED)

    def settled_after(self, id: int) -> Iterator[SettledRow]:
        """The settled URLs with a greater id, in its order."""
        return self._settled(SETTLED_AFTER, id)

    def find(self, url: str) -> SettledRow | None:
        """The row of one URL."""
        return next(self._settled(ONE, url), None)

    def _settled(self, query: str, *wanted: object) -> Iterator[SettledRow]:
        for values in self._whole(query, ALL, *wanted):
            try:
                yield settled_row_of(values)
            except UNREADABLE as error:
                if not self._lenient:
                    raise self._damaged(values[0]) from error

    def beyond(self) -> Iterator[Link]:
        """The URLs beyond the depth limit."""
        if not beyond.is_there(self._connection):
            return
        for url, depth, via in self._checked("beyond", "url, depth, via", "ORDER BY id"):
            yield Link(0, url, depth, decoded_via(via))

    def named(self, parts: Iterable[str]) -> dict[str, dict[int, str]]:
        """Positions that settled rows name, by part."""
        named: dict[str, dict[int, str]] = {part: {} for part in parts}
        if named:
            for part, position, url in self._rows("SELECT part, position, url FROM url WHERE part IS NOT NULL"):
                if part in named:
                    named[part][position] = url
        return named

    def records(self) -> dict[str, int]:
        """The parts that settled rows name, with their numbers of records."""
        rows = self._rows("SELECT part, count(*) FROM url WHERE part IS NOT NULL GROUP BY part")
        return {str(row[0]): int(row[1]) for row in rows}

    def tally(self) -> Tally:
        """The tally of the last commit; a reader of a running crawl sees the newest."""
        try:
            with storage_errors(self._path), self._decoding():
                return read_tally(self._connection)
        except Corrupt:
            if self._lenient:
                return Tally()
            raise

    def cookies(self) -> Iterator[CookieNote]:
        """The cookies of every home."""
        with self._decoding():
            for home, cookies in self._checked("cookie", "home, cookies", ""):
                yield CookieNote(home, msgspec.json.decode(cookies, type=tuple[Cookie, ...]))

    def next_id(self) -> int:
        """The first free id."""
        return next(self._rows("SELECT coalesce(max(id), 0) + 1 FROM url"))[0]  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the file."""
        with storage_errors(self._path):
            passing("frontier.close")
            self._connection.close()

    def _links(self, query: str, *values: object) -> Iterator[Link]:
        for row in self._whole(query, LINK, *values):
            try:
                yield link_of(row)
            except UNREADABLE as error:
                if not self._lenient:
                    raise self._damaged(row[0]) from error
                yield Link(row[0], "", 0)

    def _whole(self, query: str, columns: str, *values: object) -> Iterator[Sequence[Any]]:
        """Rows of `url`, the id first. Raises Corrupt where a checksum does not match."""
        if not self._sealed:
            columns = columns.replace("cut, unread", "0, NULL")
        check = WHOLE if self._sealed and not self._lenient else "1"
        for *row, whole in self._rows(query.format(f"{columns}, {check}"), *values):
            if not whole:
                raise self._damaged(row[0])
            yield row

    def _checked(self, table: str, columns: str, which: str, *values: object) -> Iterator[Sequence[Any]]:
        """Rows of another table. Raises Corrupt where a checksum does not match."""
        checked = self._sealed and not self._lenient
        check = f"checksum IS row_checksum({', '.join(COLUMNS[table])})" if checked else "1"
        for *row, whole in self._rows(f"SELECT {columns}, {check} FROM {table} {which}", *values):
            if not whole:
                raise Corrupt(
                    f"{self._path} is damaged (a row of its table {table} does not match its checksum); use {REPAIR}"
                )
            yield row

    def _damaged(self, key: object) -> Corrupt:
        return Corrupt(f"{self._path} is damaged (row {key} of its URLs is not valid); use {REPAIR}")

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """Context manager: map decoding errors to Corrupt."""
        try:
            yield
        except UNREADABLE as error:
            raise Corrupt(f"{self._path} is damaged ({error}); use {REPAIR}") from error

    def _rows(self, query: str, *values: object) -> Iterator[sqlite3.Row]:
        with storage_errors(self._path):
            # `yield from` would also close the cursor, which fails where a reader ends after the file was closed
            for row in self._connection.execute(query, values):  # noqa: UP028
                yield row
