"""Reads the readable rows of a damaged SQLite file: row by row, from both ends, around the damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from crawler.errors import StorageError
from crawler.storage.database import any_text, connect_to_read

UNREADABLE = (sqlite3.Error, UnicodeError, OverflowError)
"""What SQLite and its driver raise for a damaged file, sometimes with a message that cannot be decoded."""
MISSES = 10_000
"""The number of consecutive missing keys that ends the search for more rows."""


def readable_rows(path: Path, table: str, key: str, columns: str) -> Iterator[tuple[object, ...]]:
    """The readable rows of a table, each once; the first column is its integer `key`. None where the file is not an
    SQLite database."""
    try:
        connection = connect_to_read(path)
    except (StorageError, sqlite3.Error):
        return
    with closing(connection):
        connection.text_factory = any_text
        query = f"SELECT {key}, {columns} FROM {table}"
        last = -1
        try:
            for row in connection.execute(f"{query} ORDER BY {key}"):
                last = row[0]
                yield row
            return
        except UNREADABLE:
            pass
        tail: list[tuple[object, ...]] = []
        first = None
        try:
            for row in connection.execute(f"{query} WHERE {key} > ? ORDER BY {key} DESC", (last,)):
                first = row[0]
                tail.append(row)
        except UNREADABLE:
            pass
        yield from _one_by_one(connection, f"{query} WHERE {key} = ?", last + 1, first)
        yield from reversed(tail)


def _one_by_one(
    connection: sqlite3.Connection, query: str, start: int, end: int | None
) -> Iterator[tuple[object, ...]]:
    """The rows with keys from `start` to before `end` (None: to the last). Stops after MISSES consecutive missing keys:
    a damaged key may be any number."""
    number, misses = start, 0
    while misses < MISSES and (end is None or number < end):
        try:
            row = connection.execute(query, (number,)).fetchone()
        except UNREADABLE:
            row = None
        misses = 0 if row else misses + 1
        if row:
            yield row
        number += 1


def first_rows(path: Path, query: str) -> Iterator[tuple[object, ...]]:
    """The rows of a query up to the first damage."""
    try:
        with closing(connect_to_read(path)) as connection:
            connection.text_factory = any_text
            yield from connection.execute(query)
    except (StorageError, *UNREADABLE):
        return
