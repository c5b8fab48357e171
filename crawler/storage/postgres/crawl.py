"""All shards of one crawl in PostgreSQL: opened, read as one, copied to SQLite files and back, removed.

Rules:
- Reports and the move of rows to another number of shards are written for SQLite files. They get copies in a temporary
  folder, so there is one implementation of each. What a move has made replaces all rows of the crawl in one
  transaction: a kill leaves it as it was, or moved.
- A copy is made in one transaction that sees one moment, also of a crawl that runs.
- Rows that are replaced belong to a new epoch: a process that had a shard open before is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from crawler.errors import StorageError
from crawler.metrics.counters import Tally
from crawler.storage.database import PRIVATE, from_sql_text, storage_errors, to_sql_text, transaction
from crawler.storage.frontier.meta import TALLY as TALLY_KEY
from crawler.storage.frontier.meta import keep_tally, read_tally
from crawler.storage.frontier.schema import COLUMNS, open_file
from crawler.storage.postgres.frontier import PostgresFrontier
from crawler.storage.postgres.reader import PostgresReader
from crawler.storage.postgres.schema import ROWS, check_format, ensure_tables, is_there, url_mark
from crawler.storage.postgres.session import Connection, Database, PostgresSession, connect, postgres_errors

AT_ONCE = 2000
SHARDS = "SELECT shard FROM crawler.shard WHERE crawl = %s ORDER BY shard"
OWED = "SELECT count(*) FROM crawler.url WHERE crawl = %s AND shard = %s AND reason IS NULL"
RAISE = "UPDATE crawler.shard SET epoch = epoch + 1, tally = '{}' WHERE crawl = %s"
KEEP_SHARD = """INSERT INTO crawler.shard AS known (crawl, shard, epoch, tally) VALUES (%s, %s, 1, %s)
    ON CONFLICT (crawl, shard) DO UPDATE SET tally = excluded.tally"""
FORGET_SHARDS = "DELETE FROM crawler.shard WHERE crawl = %s AND shard >= %s"
TALLY = "SELECT tally FROM crawler.shard WHERE crawl = %s AND shard = %s"
RENAMED = {"outbox": {"shard": "target"}}
"""Columns that have another name here than in SQLite, where `shard` is not needed for the owner of a row."""
MARKED = ("url", "beyond")
NUMBERED_ANEW = "beyond"  # its `id` is an identity: rows are inserted in their order
TEXT_AS_BYTES = {
    "url": ("content_type", "detail"),
    "host": ("robots",),
    "budget": ("spent",),
    "outbox": ("foreign_link",),
    "cookie": ("cookies",),
    "meta": ("value",),
}


class PostgresCrawl:
    """The crawl with this seed in a database. Its methods raise StorageError."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self._seed = seed

    def open(self, shard: int) -> PostgresFrontier:
        """Open the frontier of a shard to write, which takes it from any other process."""
        return PostgresFrontier(self.database, self._seed, shard)

    def shards(self) -> list[int]:
        """The shards that there are."""
        with closing(PostgresSession(self.database)) as session, session.use() as connection:
            return self._shards(connection)

    def readers(self, shards: Iterable[int] | None = None) -> list[PostgresReader]:
        """Readers of these shards, or of all, which share a connection."""
        session = PostgresSession(self.database)
        return [PostgresReader(session, self._seed, shard) for shard in (self.shards() if shards is None else shards)]

    def faults(self) -> Iterator[str]:
        """What `verify` says of the rows by themselves."""
        with closing(PostgresSession(self.database)) as session, session.use() as connection:
            for shard in self._shards(connection):
                encoded: Any = connection.execute(TALLY, (self._seed, shard)).fetchone()
                owed: Any = connection.execute(OWED, (self._seed, shard)).fetchone()
                try:
                    told = msgspec.json.decode(encoded[0], type=Tally).owed
                except msgspec.MsgspecError as error:
                    yield f"shard {shard}: its tally is damaged ({error})"
                    continue
                if told != owed[0]:
                    yield f"shard {shard}: {owed[0]} URLs are owed, but the tally says {told}"

    def remove(self) -> None:
        """Remove all rows of the crawl."""
        with closing(PostgresSession(self.database)) as session, session.use() as connection:
            if is_there(connection):
                with connection.transaction():
                    connection.execute(RAISE, (self._seed,))
                    self._empty(connection)
                    connection.execute(FORGET_SHARDS, (self._seed, 0))

    def copy_to(self, files: Sequence[Path], give_up_at: float = inf) -> None:
        """Write the rows of each shard into a new SQLite frontier: that of shard N into file N. Raises StorageError
        where that takes until `give_up_at` (monotonic clock)."""
        with postgres_errors(self.database), closing(connect(self.database)) as connection:
            check_format(connection, self.database)
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                for shard, path in enumerate(files):
                    self._copy_shard(connection, shard, path, give_up_at)

    def _copy_shard(self, connection: Connection, shard: int, path: Path, give_up_at: float) -> None:
        with storage_errors(path):
            path.parent.mkdir(PRIVATE, parents=True, exist_ok=True)
        with closing(open_file(path)) as file, transaction(file, path):
            for table in ROWS:
                columns = COLUMNS[table]
                row = ", ".join(columns)
                marks = ", ".join("?" * len(columns))
                into = f"INSERT INTO {table} ({row}) VALUES ({marks})"
                for rows in self._read(connection, table, shard):
                    if monotonic() > give_up_at:
                        raise StorageError(f"to copy the rows of {self.database} takes too long")
                    file.executemany(into, [_to_sqlite(table, values) for values in rows])
            encoded: Any = connection.execute(TALLY, (self._seed, shard)).fetchone()
            if encoded is not None:
                keep_tally(file, msgspec.json.decode(encoded[0], type=Tally))

    def _read(self, connection: Connection, table: str, shard: int) -> Iterator[list[Any]]:
        """The rows of a table of a shard, in pieces, with the columns of SQLite."""
        columns = ", ".join(RENAMED.get(table, {}).get(name, name) for name in COLUMNS[table])
        which = f"WHERE crawl = %s AND shard = %s ORDER BY {'id' if table in MARKED else '1'}"
        with connection.cursor(name=f"copy_{table}") as cursor:
            cursor.execute(f"SELECT {columns} FROM crawler.{table} {which}", (self._seed, shard))
            while rows := cursor.fetchmany(AT_ONCE):
                yield rows

    def replace_from(self, files: Sequence[Path]) -> None:
        """Put the rows of these SQLite frontiers, that of shard N in file N, in the place of all rows of the crawl."""
        with postgres_errors(self.database), closing(connect(self.database)) as connection:
            ensure_tables(connection, self.database)
            with connection.transaction():
                connection.execute(RAISE, (self._seed,))
                self._empty(connection)
                for shard, path in enumerate(files):
                    self._load_shard(connection, shard, path)
                connection.execute(FORGET_SHARDS, (self._seed, len(files)))

    def _load_shard(self, connection: Connection, shard: int, path: Path) -> None:
        with closing(open_file(path)) as file, storage_errors(path):
            tally = read_tally(file)
            connection.execute(KEEP_SHARD, (self._seed, shard, msgspec.json.encode(tally).decode()))
            for table in ROWS:
                self._load(connection, table, shard, file.execute(_source(table)))

    def _load(self, connection: Connection, table: str, shard: int, rows: Iterable[Any]) -> None:
        names = [name for name in COLUMNS[table] if not (table == NUMBERED_ANEW and name == "id")]
        wanted = ["crawl", "shard", *(RENAMED.get(table, {}).get(name, name) for name in names)]
        wanted += ["mark"] * (table in MARKED)
        query = f"COPY crawler.{table} ({', '.join(wanted)}) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(query) as copy:
            for row in rows:
                values = dict(zip(COLUMNS[table], row, strict=True))
                mark = [url_mark(values["url"], self._seed)] if table in MARKED else []
                copy.write_row([self._seed, shard, *(_to_postgres(table, name, values[name]) for name in names), *mark])

    def _shards(self, connection: Connection) -> list[int]:
        if not is_there(connection):
            return []
        check_format(connection, self.database)
        rows: list[Any] = connection.execute(SHARDS, (self._seed,)).fetchall()
        return [shard for (shard,) in rows]

    def _empty(self, connection: Connection) -> None:
        for name in ROWS:
            connection.execute(f"DELETE FROM crawler.{name} WHERE crawl = %s", (self._seed,))


def _source(table: str) -> str:
    """The query for the rows of a table of an SQLite frontier, in the order of their key. The tally is in `shard`."""
    columns = ", ".join(COLUMNS[table])
    which = f"WHERE key != '{TALLY_KEY}'" if table == "meta" else ""
    return f"SELECT {columns} FROM {table} {which} ORDER BY 1"


def _to_sqlite(table: str, row: Sequence[Any]) -> list[Any]:
    as_bytes = TEXT_AS_BYTES.get(table, ())
    return [
        to_sql_text(value.decode("utf-8", "surrogatepass")) if name in as_bytes and value is not None else value
        for name, value in zip(COLUMNS[table], row, strict=True)
    ]


def _to_postgres(table: str, name: str, value: Any) -> Any:
    if name in TEXT_AS_BYTES.get(table, ()) and value is not None:
        return from_sql_text(value).encode("utf-8", "surrogatepass")
    return value
