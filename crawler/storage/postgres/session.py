"""A connection to PostgreSQL: how it is made, and what its errors mean.

Rules:
- A connection that was lost is made again by the next use. Who waits, and how long, is decided above
  (`database.retry_storage`): here a server that is away, starts, stops or has no connection left is Unreachable.
- A login that is refused or a database that does not exist is no reason to wait.
- The password is read from its reference for each connection, and is in no message: those of libpq never have it.
- A transaction whose client stands still is ended by the server after IDLE, so that a process that was stopped
  (SIGSTOP) cannot keep a lock from the one that replaces it.
- A commit must be on disk when it returns, whatever the default of the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import msgspec
import psycopg
from psycopg.rows import TupleRow

from crawler.errors import Busy, Corrupt, DiskFull, StorageError, Unreachable
from crawler.fetch.secrets import resolve_reference
from crawler.system.text import escape_unprintable

Connection = psycopg.Connection[TupleRow]
CONNECT_TIMEOUT = 10  # seconds
IDLE = 30  # seconds
LOCK_TIMEOUT = 10  # seconds
ACKNOWLEDGED_IN = 30  # seconds, for what was sent, by TCP
OPTIONS = (
    f"-c synchronous_commit=on -c idle_in_transaction_session_timeout={IDLE}s -c lock_timeout={LOCK_TIMEOUT}s"
    " -c client_min_messages=warning -c search_path=pg_catalog"
)
REFUSED = ("authentication failed", "no password supplied", "does not exist", "pg_hba.conf", "not permitted to log in")
"""Words of the server about a login that will not succeed later either. (libpq tells no code for those.)"""
AWAY = ("08", "57", "53")
"""Classes of SQLSTATE: connection exception, operator intervention, insufficient resources."""
READ_ONLY = "25006"  # a standby, until it is promoted
LOCKED = ("40001", "40P01", "55P03")  # serialization failure, deadlock, lock timeout
FULL = "53100"
NO_TABLES = ("42P01", "3F000")
LONGEST = 300


class Database(msgspec.Struct, frozen=True):
    """A database by its URL, without a password, and the reference to that (`env:NAME`, `file:PATH`, "" for none)."""

    url: str
    password: str = ""

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        where = parts.netloc.rpartition("@")[2]
        return f"the database {where}{parts.path}" if where else f"the database {parts.path.strip('/') or 'of libpq'}"


class PostgresSession:
    """One connection to a database, made at its first use and again after it was lost. For one thread at a time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._connection: Connection | None = None

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Context manager: the connection, in autocommit mode. May be nested. Raises StorageError."""
        with postgres_errors(self.database):
            if self._connection is None:
                self._connection = connect(self.database)
            connection = self._connection
            try:
                yield connection
            finally:
                if connection.closed:
                    self._connection = None

    def close(self) -> None:
        """Close it. The next use makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def connect(database: Database) -> Connection:
    """A new connection in autocommit mode. Raises psycopg.Error, UsageError."""
    password = resolve_reference(database.password, "the password of the frontier")
    return psycopg.connect(
        database.url,
        autocommit=True,
        password=password or None,
        connect_timeout=CONNECT_TIMEOUT,
        application_name="crawler",
        client_encoding="utf8",
        options=OPTIONS,
        tcp_user_timeout=ACKNOWLEDGED_IN * 1000,
        keepalives_idle=ACKNOWLEDGED_IN,
    )


@contextmanager
def postgres_errors(database: Database) -> Iterator[None]:
    """Context manager: map errors of PostgreSQL to one line with what to do.

    Raises Unreachable, DiskFull, Busy, Corrupt, and StorageError for all others."""
    try:
        yield
    except psycopg.Error as error:
        raise _storage_error(database, error) from error


def _storage_error(database: Database, error: psycopg.Error) -> StorageError:
    code = error.sqlstate or ""
    words = escape_unprintable(" ".join(str(error).split()))[:LONGEST]
    if code == FULL:
        return DiskFull(f"no space left for {database}; free some, then resume")
    if code in LOCKED:
        return Busy(f"{database} is locked by another program ({words}); close that, then resume")
    if code in NO_TABLES:
        return Corrupt(f"{database} does not have the tables of this crawl ({words}); restore them from a backup")
    if not code and any(said in words for said in REFUSED):
        return StorageError(f"{database} refuses the login ({words}); see to frontier and frontier_password")
    lost = not code and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if lost or code == READ_ONLY or code.startswith(AWAY):
        return Unreachable(f"{database} cannot be reached ({words}); see that it runs, then resume")
    return StorageError(f"{database} cannot be used: {words}")
