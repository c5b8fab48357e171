"""A table of records: each row is a record as JSON, with the fields that are searched for in columns of their own.

The JSON is what counts. The columns are copies, written by the same statement, so the two never differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from crawler.errors import Corrupt
from crawler.service.errors import Invalid
from crawler.service.identifiers import PATTERN
from crawler.service.records import Listing

R = TypeVar("R", bound=msgspec.Struct)
Execute = Callable[[str, Sequence[Any]], list[Any]]
"""Executes one statement with its values; returns the rows. Raises StorageError."""
MOST = 1000
"""The longest page of a list."""


class RecordTable(Generic[R]):
    """The records of one kind in an open database; `columns` are the fields that can be searched for."""

    def __init__(
        self, execute: Execute, damaged: Callable[[str], Corrupt], name: str, kind: type[R], columns: tuple[str, ...]
    ) -> None:
        """`damaged` makes the error for a file with such damage."""
        self._execute = execute
        self._damaged = damaged
        self._name = name
        self._columns = columns
        self._decode = msgspec.json.Decoder(kind).decode
        self._names = ("id", "body", *columns)

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
        marks = "?" * len(self._names)
        query = f"INSERT OR REPLACE INTO {self._name} ({', '.join(self._names)}) VALUES ({', '.join(marks)})"
        self._execute(query, (found.id, msgspec.json.encode(record).decode(), *columns))

    def get(self, key: str) -> R | None:
        """The record with this id."""
        return next(iter(self.where(id=key)), None)

    def where(self, **values: Any) -> list[R]:
        """All records with these values, oldest first."""
        query = f"SELECT body FROM {self._name} WHERE {_test(values)} ORDER BY id"
        return self._records(body for (body,) in self._execute(query, tuple(values.values())))

    def after(self, column: str, value: str, limit: int) -> list[R]:
        """At most `limit` records in the order of a column that can be searched for, beginning after a value."""
        query = f"SELECT body FROM {self._name} WHERE {column} > ? ORDER BY {column}, id LIMIT ?"
        return self._records(body for (body,) in self._execute(query, (value, limit)))

    def remove(self, keys: Iterable[str]) -> None:
        """Remove the records with these ids."""
        for key in keys:
            self._execute(f"DELETE FROM {self._name} WHERE id = ?", (key,))

    def count(self, **values: Any) -> int:
        """How many records have these values."""
        query = f"SELECT count(*) FROM {self._name} WHERE {_test(values)}"
        ((found,),) = self._execute(query, tuple(values.values()))
        return int(found)

    def last(self) -> str:
        """The greatest id, "" in an empty table."""
        ((found,),) = self._execute(f"SELECT max(id) FROM {self._name}", ())
        return found or ""

    def page(self, cursor: str | None, limit: int, **values: Any) -> Listing[R]:
        """The newest records with these values, older than `cursor`. Raises Invalid for a cursor that is none."""
        if cursor is not None and not PATTERN.fullmatch(cursor):
            raise Invalid("cursor", "the cursor is not one of this list; leave it out to begin at the newest")
        most = max(1, min(limit, MOST))
        query = f"SELECT id, body FROM {self._name} WHERE {_test(values)} AND id < ? ORDER BY id DESC LIMIT ?"
        rows = self._execute(query, (*values.values(), cursor or "~", most + 1))
        following = rows[most - 1][0] if len(rows) > most else None
        return Listing(self._records(body for _, body in rows[:most]), following)

    def _records(self, bodies: Iterable[str]) -> list[R]:
        """Raises Corrupt for a row that holds no record."""
        try:
            return [self._decode(body) for body in bodies]
        except msgspec.DecodeError as error:
            raise self._damaged(f"a row of the table {self._name} holds something else: {error}") from error


def _test(values: Iterable[str]) -> str:
    return " AND ".join(f"{column} IS ?" for column in values) or "1"
