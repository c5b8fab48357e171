"""The schema of a frontier's file, the checksum of each row, and the upgrade of files of an earlier format.

Rules:
- Every row of every table in COLUMNS has a `checksum` over all its other columns. A mismatch is damage: SQLite itself
  only detects damage to the structure of a file.
- Statements that run for every page set the checksum themselves, with `sealed`. After any other statement temporary
  triggers of our own connection set it, so every row that is written through `open_file` has one.
- Readers accept older files that lack later columns and tables. `open_file` adds them, in one transaction for each
  file: a kill leaves the file as it was, or upgraded.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from crawler.storage.database import add_checksum, columns_there, connect, storage_errors, transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS url (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
    host INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    via TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    status INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    part TEXT,
    position INTEGER,
    size INTEGER,
    digest BLOB,
    truncated TEXT,
    content_type TEXT,
    settled_at REAL,
    seconds REAL,
    detail TEXT,
    cut INTEGER NOT NULL DEFAULT 0,
    unread TEXT,
    checksum INTEGER
);
CREATE INDEX IF NOT EXISTS owed ON url (host) WHERE reason IS NULL;
CREATE INDEX IF NOT EXISTS retried ON url (host) WHERE reason IS NULL AND attempts > 0;
CREATE INDEX IF NOT EXISTS seed ON url (id) WHERE reason IS NULL AND depth = 0;
CREATE TABLE IF NOT EXISTS host (
    host TEXT PRIMARY KEY,
    robots TEXT,
    robots_until REAL NOT NULL,
    delay REAL NOT NULL,
    rest_until REAL NOT NULL,
    joined INTEGER NOT NULL,
    reach INTEGER NOT NULL DEFAULT 0,
    heard INTEGER NOT NULL DEFAULT 0,
    down_for REAL NOT NULL DEFAULT 0,
    checksum INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY,
    shard INTEGER NOT NULL,
    foreign_link TEXT NOT NULL,
    checksum INTEGER
);
CREATE TABLE IF NOT EXISTS budget (
    host TEXT NOT NULL,
    pattern INTEGER NOT NULL,
    spent TEXT NOT NULL,
    checksum INTEGER,
    PRIMARY KEY (host, pattern)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS joined ON host (host) WHERE joined;
CREATE TABLE IF NOT EXISTS cookie (home TEXT PRIMARY KEY, cookies TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS beyond (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
    depth INTEGER NOT NULL,
    via TEXT,
    checksum INTEGER
);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;
"""
URL = (
    *("id", "url", "host", "depth", "via", "attempts", "status", "reason", "part", "position", "size", "digest"),
    *("truncated", "content_type", "settled_at", "seconds", "detail", "cut", "unread"),
)
COLUMNS = {
    "url": URL,
    "host": ("host", "robots", "robots_until", "delay", "rest_until", "joined", "reach", "heard", "down_for"),
    "outbox": ("seq", "shard", "foreign_link"),
    "budget": ("host", "pattern", "spent"),
    "cookie": ("home", "cookies"),
    "beyond": ("id", "url", "depth", "via"),
    "meta": ("key", "value"),
}
"""The columns that a checksum covers, in this order. A new table is sealed and checked once it is listed here."""
KEYS = {
    "url": ("id",),
    "host": ("host",),
    "outbox": ("seq",),
    "budget": ("host", "pattern"),
    "cookie": ("home",),
    "beyond": ("id",),
    "meta": ("key",),
}
NUMBERED = ("url", "outbox", "beyond")
"""Tables whose key is the rowid (INTEGER PRIMARY KEY)."""
ADDED = {
    "url": {"cut": "INTEGER NOT NULL DEFAULT 0", "unread": "TEXT"},
    "host": {"heard": "INTEGER NOT NULL DEFAULT 0", "down_for": "REAL NOT NULL DEFAULT 0"},
}
"""Columns that files of format 3 lack, in addition to the checksum."""
DEFAULTS = {"via": "NULL", "attempts": "0", "status": "0", "cut": "0", "reach": "0", "heard": "0", "down_for": "0"}
FRACTIONS = {"settled_at", "seconds", "robots_until", "delay", "rest_until", "down_for"}
"""Columns of type REAL, whose values must be cast for the checksum."""


def sealed(table: str, values: dict[str, str], kept: str | None = None) -> str:
    """SQL for the checksum of a row whose columns a statement sets to the expressions `values`. The other columns are
    named with the prefix `kept`; None: a new row, with their defaults."""
    row = []
    for column in COLUMNS[table]:
        value = values.get(column) or (DEFAULTS.get(column, "NULL") if kept is None else f"{kept}{column}")
        row.append(f"CAST({value} AS REAL)" if column in FRACTIONS else value)
    return f"row_checksum({', '.join(row)})"


def open_file(path: Path) -> sqlite3.Connection:
    """The writing connection of a frontier's file, which is created if missing and upgraded if it is older.

    Every row that is written through it has a checksum. Raises StorageError.
    """
    connection = connect(path, SCHEMA)
    try:
        with storage_errors(path):
            connection.execute("PRAGMA temp_store=MEMORY")
            add_checksum(connection)
        _upgrade(connection, path)
        with storage_errors(path):
            for table in COLUMNS:
                connection.executescript(_triggers(table))
    except BaseException:
        connection.close()
        raise
    return connection


def is_sealed(connection: sqlite3.Connection) -> bool:
    """Whether the rows of a file have checksums: those of format 3 do not."""
    return "checksum" in columns_there(connection, "url")


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Add missing columns and set the checksums of all rows."""
    with storage_errors(path):
        there = {table: columns_there(connection, table) for table in COLUMNS}
    if all("checksum" in columns for columns in there.values()):
        return
    with transaction(connection, path):
        for table, columns in there.items():
            for column, declared in (ADDED.get(table, {}) | {"checksum": "INTEGER"}).items():
                if column not in columns:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {declared}")
            connection.execute(f"UPDATE {table} SET checksum = {sealed(table, {}, '')}")


def _triggers(table: str) -> str:
    """Triggers that set the checksum of a row that a statement has left without one, or with the old one."""
    found = " AND ".join(f"{key} = NEW.{key}" for key in KEYS[table])
    seal = f"BEGIN UPDATE {table} SET checksum = {sealed(table, {}, 'NEW.')} WHERE {found}; END;"
    columns = ", ".join(COLUMNS[table])
    return f"""CREATE TEMP TRIGGER {table}_new AFTER INSERT ON main.{table} WHEN NEW.checksum IS NULL {seal}
        CREATE TEMP TRIGGER {table}_changed AFTER UPDATE OF {columns} ON main.{table}
        WHEN NEW.checksum IS OLD.checksum {seal}"""
