"""A table of records: each row is a record as JSON, with the fields that are searched for in columns of their own.

The JSON is what counts. The columns are copies, written by the same statement, so the two never differ.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec

from crawler.service.errors import Invalid
from crawler.service.identifiers import PATTERN
from crawler.service.records import Listing

R = TypeVar("R", bound=msgspec.Struct)
MOST = 1000
"""The longest page of a list."""


class RecordTable(Generic[R]):
    """The records of one kind in an open database; `columns` are the fields that can be searched for."""

    def __init__(self, connection: sqlite3.Connection, name: str, kind: type[R], columns: tuple[str, ...]) -> None:
        self._connection = connection
        self._name = name
        self._columns = columns
        self._decode = msgspec.json.Decoder(kind).decode
        names = ("id", "body", *columns)
        self._put = f"INSERT OR REPLACE INTO {name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"

    @staticmethod
    def schema(name: str, columns: tuple[str, ...]) -> str:
        """The SQL that creates the table and its indexes."""
        fields = "".join(f", {column}" for column in columns)
        table = f"CREATE TABLE IF NOT EXISTS {name} (id TEXT PRIMARY KEY, body TEXT NOT NULL{fields}) WITHOUT ROWID;"
        indexes = (f"CREATE INDEX IF NOT EXISTS {name}_{column} ON {name} ({column}, id);" for column in columns)
        return "\n".join([table, *indexes])

    def put(self, record: R) -> None:
        """Insert a record, or replace the one with its id."""
        found: Any = record
        columns = [getattr(found, column) for column in self._columns]
        self._connection.execute(self._put, (found.id, msgspec.json.encode(record).decode(), *columns))

    def get(self, key: str) -> R | None:
        """The record with this id."""
        return next(iter(self.where(id=key)), None)

    def where(self, **values: Any) -> list[R]:
        """All records with these values, oldest first."""
        test = " AND ".join(f"{column} IS ?" for column in values) or "1"
        rows = self._connection.execute(
            f"SELECT body FROM {self._name} WHERE {test} ORDER BY id", tuple(values.values())
        )
        return [self._decode(body) for (body,) in rows]

    def remove(self, keys: Iterable[str]) -> None:
        """Remove the records with these ids."""
        self._connection.executemany(f"DELETE FROM {self._name} WHERE id = ?", [(key,) for key in keys])

    def count(self, **values: Any) -> int:
        """How many records have these values."""
        test = " AND ".join(f"{column} IS ?" for column in values) or "1"
        query = f"SELECT count(*) FROM {self._name} WHERE {test}"
        found: int = self._connection.execute(query, tuple(values.values())).fetchone()[0]
        return found

    def last(self) -> str:
        """The greatest id, "" in an empty table."""
        found: str | None = self._connection.execute(f"SELECT max(id) FROM {self._name}").fetchone()[0]
        return found or ""

    def page(self, cursor: str | None, limit: int, **values: Any) -> Listing[R]:
        """The newest records with these values, older than `cursor`. Raises Invalid for a cursor that is none."""
        test, bound = "1", list[Any]()
        if cursor is not None:
            if not PATTERN.fullmatch(cursor):
                raise Invalid("cursor", "the cursor is not one of this list; leave it out to begin at the newest")
            test, bound = "id < ?", [cursor]
        for column, value in values.items():
            test, bound = f"{test} AND {column} IS ?", [*bound, value]
        most = max(1, min(limit, MOST))
        query = f"SELECT id, body FROM {self._name} WHERE {test} ORDER BY id DESC LIMIT ?"
        rows = self._connection.execute(query, (*bound, most + 1)).fetchall()
        following = rows[most - 1][0] if len(rows) > most else None
        return Listing([self._decode(body) for _, body in rows[:most]], following)
