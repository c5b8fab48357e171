"""Checks a single file of a crawl for damage; shared by `verify`, `repair` and a run that resumes.

Rules:
- A fault is a line for people. No fault means that every value in the file is what was written.
- Checked of an SQLite file: the fixed fields of its header, its structure by `PRAGMA integrity_check` (with every index
  against its table), its schema against the one that this program creates.
- Each row must match its checksum. Rows of format 3 have none: there only the plausibility of values is checked.
- Nothing here writes, and no content of a file makes it raise anything but StorageError.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from crawler.core.messages import Budget, Cookie, OutboxLink
from crawler.core.reasons import ParseSkipped, Reason
from crawler.core.urls.canonical import canonical, host_of
from crawler.core.urls.sitemap_steps import address
from crawler.errors import Corrupt, StorageError
from crawler.metrics.counters import Tally
from crawler.storage import recovery as salvage
from crawler.storage.database import any_text, columns_there, connect_to_read, row_checksum, storage_errors
from crawler.storage.frontier import schema
from crawler.storage.frontier.commits import committed, noted
from crawler.storage.frontier.encoding import UNREADABLE, host_mark
from crawler.storage.pages.record import SCHEMA as PART
from crawler.system.text import escape_unprintable

HEADER = 100
MAGIC = b"SQLite format 3\0"
FIXED = {
    (20, 24): (b"\0\x40\x20\x20",),
    (18, 20): (b"\1\1", b"\2\2"),
    (44, 48): (bytes(4), b"\0\0\0\1", b"\0\0\0\4"),  # none, as long as its tables are in the log
    (48, 56): (bytes(8),),
    (56, 60): (bytes(4), b"\0\0\0\1"),
    (60, 92): (bytes(32),),
}
"""Allowed values of fixed fields of the header, by byte range: https://sqlite.org/fileformat2.html"""
DECODED: dict[tuple[str, str], Any] = {
    ("outbox", "foreign_link"): OutboxLink,
    ("budget", "spent"): Budget,
    ("cookie", "cookies"): tuple[Cookie, ...],
}
REASONS = {reason.value for reason in Reason}
UNREAD = {unread.value for unread in ParseSkipped}
LATER = schema.COLUMNS.keys() - {"url", "host", "outbox", "meta"}
"""Tables that not every file of format 3 has."""


class Shape(NamedTuple):
    """The schema of a file: columns of its tables (`PRAGMA table_info`), SQL of its indexes."""

    tables: dict[str, list[tuple[Any, ...]]]
    indexes: dict[str, str]


def frontier_faults(path: Path, seed: int, moving: bool, for_run: bool = False) -> Iterator[str]:
    """The faults of a frontier's file in the crawl of this seed; `for_run`: only those that forbid a run. While rows
    are `moving` between files, one may be created only in part."""
    if moving and _is_half_made(path):
        return
    beside = noted(path)  # before the file: a run may go on meanwhile
    if beside is None and not for_run:
        yield f"{path.with_name('commits')} is damaged"
    try:
        yield from structural_faults(path, schema.SCHEMA)
        with closing(connect_to_read(path)) as connection, storage_errors(path):
            connection.text_factory = any_text
            connection.execute("BEGIN")
            for table in schema.COLUMNS:
                yield from _row_faults(connection, path, table, seed)
            yield from _count_faults(connection, path)
            if not for_run:
                yield from _lost(connection, path, beside or 0)
    except StorageError as error:
        yield str(error)


def _is_half_made(path: Path) -> bool:
    """Whether a kill left a file without some of its tables: then it has no rows."""
    if path.stat().st_size == 0:
        return True
    try:
        with closing(connect_to_read(path)) as connection, storage_errors(path):
            tables = _shape(connection).tables.keys()
            made = tables < _wanted(schema.SCHEMA).tables.keys() - LATER
            return made and not any(connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone() for name in tables)
    except StorageError:
        return False


def lost_commits(path: Path) -> int:
    """How many commits a frontier's file has lost, by the count in the file `commits`. Raises StorageError."""
    beside = noted(path) or 0
    with closing(connect_to_read(path)) as connection, storage_errors(path):
        return max(0, beside - committed(connection)) if schema.is_sealed(connection) else 0


def part_faults(path: Path) -> Iterator[str]:
    """The structural faults of the file of a part; its records are not checked."""
    try:
        if not _has_only_begun(path):
            yield from structural_faults(path, PART)
    except StorageError as error:
        yield str(error)


def _has_only_begun(path: Path) -> bool:
    """Whether a kill left a part that its writer never closed and whose table was not made yet: it never had a page."""
    if not path.with_suffix(".lock").exists():
        return False
    if path.stat().st_size == 0:
        return True
    try:
        with closing(connect_to_read(path)) as connection, storage_errors(path):
            return not _shape(connection).tables
    except StorageError:
        return False


def structural_faults(path: Path, made_by: str) -> Iterator[str]:
    """The faults of an SQLite file whose schema is the SQL `made_by`. Raises StorageError."""
    if path.stat().st_size == 0:
        yield f"{path} is damaged (it is empty)"
        return
    with storage_errors(path), path.open("rb") as file:
        header = file.read(HEADER)
    if not header.startswith(MAGIC):
        yield f"{path} is damaged (file is not a database)"
        return
    for (start, end), values in FIXED.items():
        if header[start:end] not in values:
            yield f"{path} is damaged (bytes {start} to {end - 1} of its header)"
    try:
        with closing(connect_to_read(path)) as connection, storage_errors(path):
            connection.text_factory = any_text
            for (verdict,) in connection.execute("PRAGMA integrity_check(3)").fetchall():
                if verdict != "ok":
                    yield f"{path} is damaged ({escape_unprintable(' '.join(str(verdict).split()))})"
            yield from _shape_faults(connection, path, made_by)
    except Corrupt as error:
        yield f"{path} is damaged ({error.__cause__ or error})"


def _shape_faults(connection: sqlite3.Connection, path: Path, made_by: str) -> Iterator[str]:
    there, wanted = _shape(connection), _wanted(made_by)
    is_sealed = any(column[1] == "checksum" for columns in there.tables.values() for column in columns)
    for name, columns in wanted.tables.items():
        found = there.tables.get(name)
        if not is_sealed:
            known = {column[1] for column in found or ()}
            columns = [column for column in columns if column[1] in known or column[1] not in _added(name)]
            if found is None and name in LATER:
                continue
        if found is None or [column[1:] for column in found] != [column[1:] for column in columns]:
            yield f"{path} is damaged (its table {name} does not have its original schema)"
    for name, made in wanted.indexes.items():
        if there.indexes.get(name) != made:
            yield f"{path} is damaged (its index {name} does not have its original schema)"


def _added(table: str) -> set[str]:
    return {*schema.ADDED.get(table, ()), "checksum"}


@cache
def _wanted(made_by: str) -> Shape:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(made_by)
        return _shape(connection)


def _shape(connection: sqlite3.Connection) -> Shape:
    tables, indexes = dict[str, list[tuple[Any, ...]]](), dict[str, str]()
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall():
        if kind == "table":
            quoted = str(name).replace('"', '""')
            tables[name] = connection.execute(f'PRAGMA table_info("{quoted}")').fetchall()
        elif sql is not None:
            indexes[name] = sql
    return Shape(tables, indexes)


# ---- rows ------------------------------------------------------------------------------------------------------------


def intact_rows(path: Path, table: str, seed: int) -> Iterator[dict[str, Any]]:
    """The readable rows of a table that match their checksum, also around damage; values by column. Columns that came
    after format 3 are left out where the file lacks them."""
    there = _columns_of(path, table)
    names = [name for name in schema.COLUMNS[table] if name in there]
    is_sealed = "checksum" in there
    columns = f"{', '.join(names)}, {'checksum' if is_sealed else 'NULL'}"
    key = schema.KEYS[table][0]
    if table in schema.NUMBERED:
        found: Iterator[tuple[object, ...]] = (row[1:] for row in salvage.readable_rows(path, table, key, columns))
    else:
        found = salvage.first_rows(path, f"SELECT {columns} FROM {table}")
    for *row, checksum in found:
        if row_checksum(*row) == checksum if is_sealed else is_plausible(table, names, row, seed):
            yield dict(zip(names, row, strict=True))


def _columns_of(path: Path, table: str) -> set[str]:
    """The columns of a table in a file that may be damaged; none where it cannot be read."""
    try:
        with closing(connect_to_read(path)) as connection, storage_errors(path):
            connection.text_factory = any_text
            return columns_there(connection, table)
    except StorageError:
        return set()


def _row_faults(connection: sqlite3.Connection, path: Path, table: str, seed: int) -> Iterator[str]:
    columns, there = schema.COLUMNS[table], columns_there(connection, table)
    if not there:
        return
    shard = path.parent.name
    names = [name for name in columns if name in there]
    is_sealed = "checksum" in there
    query = f"SELECT {'checksum' if is_sealed else 'NULL'}, {', '.join(names)} FROM {table}"
    for checksum, *row in connection.execute(query):
        right = row_checksum(*row) == checksum if is_sealed else is_plausible(table, names, row, seed)
        if not right:
            told = " ".join(str(value)[:200] for value in row[: 2 if table == "url" else 1])
            yield f"{shard}: row {table} {told} is damaged"


def is_plausible(table: str, names: Sequence[str], row: Sequence[Any], seed: int) -> bool:
    """Whether this program could have written the values of a row without a checksum."""
    values = dict(zip(names, row, strict=True))
    try:
        if table == "url":
            return _is_link(values, seed)
        if table == "host":
            return canonical(f"{values['host']}/") == f"{values['host']}/"
        for (of, column), kind in DECODED.items():
            if of == table:
                msgspec.json.decode(values[column], type=kind)
        if table == "meta" and values["key"] == "tally":
            msgspec.json.decode(values["value"], type=Tally)
    except UNREADABLE:
        return False
    return True


def _is_link(values: dict[str, Any], seed: int) -> bool:
    url, reason = values["url"], values["reason"]
    via = json.loads(values["via"]) if values["via"] is not None else []
    numbers = [values[name] for name in ("id", "depth", "attempts", "status")]
    return (
        canonical(url) == url
        and values["host"] == host_mark(host_of(url), seed)
        and all(isinstance(number, int) and number >= 0 for number in numbers)
        and all(canonical(address(each)) == address(each) for each in via)
        and (reason in REASONS if reason is not None else values["part"] is None and values["settled_at"] is None)
        and (reason is None or (isinstance(values["settled_at"], float) and isinstance(values["seconds"], float)))
        and (values["part"] is None) == (values["position"] is None)
        and isinstance(values["digest"] or b"", bytes)
        and values.get("unread") in (None, *UNREAD)
    )


def _count_faults(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    row = connection.execute("SELECT value FROM meta WHERE key = 'tally'").fetchone()
    try:
        tally = Tally() if row is None else msgspec.json.decode(row[0], type=Tally)
    except msgspec.MsgspecError:
        return  # its row is already reported
    owed = connection.execute("SELECT count(*) FROM url WHERE reason IS NULL").fetchone()[0]
    if owed != tally.owed:
        yield f"{path.parent.name}: {owed} URLs are owed, but the tally says {tally.owed}"


def _lost(connection: sqlite3.Connection, path: Path, beside: int) -> Iterator[str]:
    if not schema.is_sealed(connection):
        return
    try:
        lost = beside - committed(connection)
    except ValueError:
        return  # its row is already reported
    if lost > 0:
        yield f"{path} has lost its last {lost} commits (its WAL may be damaged)"
