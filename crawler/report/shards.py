"""Lets SQL see the frontiers of all shards as one.

Temporary views with the names of the tables shadow those of the files, so a query is independent of the number of
shards. SQLite attaches at most ten files; rows of further ones are copied into temporary tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from crawler.storage.frontier.schema import COLUMNS, DEFAULTS

ATTACHED = 9
TABLES = ("url", "host", "meta")


def unite(connection: sqlite3.Connection, others: Sequence[Path]) -> None:
    """Let `connection`, which reads one frontier, read these as well. Call it outside any transaction."""
    schemas = ["main"]
    for number, path in enumerate(others[:ATTACHED]):
        _attach(connection, path, f"shard{number}")
        schemas.append(f"shard{number}")
    sources = {table: [_source(connection, schema, table) for schema in schemas] for table in TABLES}
    for number, path in enumerate(others[ATTACHED:]):
        _attach(connection, path, "further")
        for table in TABLES:
            source = _source(connection, "further", table)
            connection.execute(f"CREATE TEMP TABLE {table}{number} AS {source}")
            sources[table].append(f"SELECT * FROM temp.{table}{number}")
        connection.execute("DETACH further")
    for table, queries in sources.items():
        connection.execute(f"CREATE TEMP VIEW {table} AS {' UNION ALL '.join(queries)}")


def _source(connection: sqlite3.Connection, schema: str, table: str) -> str:
    """The query for all rows of a table in one file."""
    there = {row[1] for row in connection.execute(f"PRAGMA {schema}.table_info({table})")}
    wanted = (name if name in there else f"{DEFAULTS.get(name, 'NULL')} AS {name}" for name in COLUMNS[table])
    return f"SELECT {', '.join(wanted)} FROM {schema}.{table}"


def _attach(connection: sqlite3.Connection, path: Path, schema: str) -> None:
    connection.execute(f"ATTACH ? AS {schema}", (f"{path.absolute().as_uri()}?mode=ro",))
