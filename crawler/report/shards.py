"""Lets SQL see the frontiers of all shards as one.

Temporary views named like the tables stand before those of the files, so a query needs not know how many shards there
are. SQLite attaches at most ten files; what lies in further ones is copied into temporary tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

ATTACHED = 9
TABLES = ("url", "host", "meta")


def unite(connection: sqlite3.Connection, others: Sequence[Path]) -> None:
    """Let `connection`, which reads one frontier, read these as well. Outside of any transaction."""
    schemas = ["main"]
    for number, path in enumerate(others[:ATTACHED]):
        _attach(connection, path, f"shard{number}")
        schemas.append(f"shard{number}")
    sources = {table: [f"{schema}.{table}" for schema in schemas] for table in TABLES}
    for number, path in enumerate(others[ATTACHED:]):
        _attach(connection, path, "further")
        for table in TABLES:
            connection.execute(f"CREATE TEMP TABLE {table}{number} AS SELECT * FROM further.{table}")
            sources[table].append(f"temp.{table}{number}")
        connection.execute("DETACH further")
    for table, names in sources.items():
        union = " UNION ALL ".join(f"SELECT * FROM {name}" for name in names)
        connection.execute(f"CREATE TEMP VIEW {table} AS {union}")


def _attach(connection: sqlite3.Connection, path: Path, schema: str) -> None:
    connection.execute(f"ATTACH ? AS {schema}", (f"{path.absolute().as_uri()}?mode=ro",))
