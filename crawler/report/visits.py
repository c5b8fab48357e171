"""Copies the times of stored pages into a temporary table, which the audit of politeness and the throughput share.

Rules:
- A record has the time of its last byte and the duration of the fetch, hence its start.
- At most MOST records are read, the newest of each part, later runs first, so that a report does not read a terabyte.
- Records that no URL names (left by a kill) were requested too, so they are there as well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from crawler.errors import StorageError
from crawler.report.frontier_facts import HOST
from crawler.storage.database import connect_to_read, storage_errors

MOST = 100_000
TABLE = """CREATE TEMP TABLE visit (part TEXT, position INTEGER, host TEXT NOT NULL, start REAL NOT NULL,
    landed REAL NOT NULL, PRIMARY KEY (part, position)) WITHOUT ROWID"""


class Visits(NamedTuple):
    """What the table `visit` has of the newest `run` that stored pages (0: none): how many `older` records are beyond
    the limit, and how many parts could not be read."""

    run: int = 0
    older: int = 0
    unread: int = 0


def take_visits(connection: sqlite3.Connection, parts: Path, most: int = MOST) -> Visits:
    """Fill the temporary table `visit` of a connection from the parts in a folder, with at most `most` records."""
    connection.execute(TABLE)
    paths = sorted(parts.glob("*.sqlite"), key=_run, reverse=True)
    newest = None
    for run, group in groupby(paths, key=_run):
        of_run = sorted(group)
        share = most // len(of_run)
        if not share and newest is not None:
            break
        older = unread = 0
        for path in of_run:
            try:
                taken, beyond = _take(connection, path, share)
            except StorageError:  # a part that a worker is creating, or a damaged one, which `verify` reports
                unread += 1
                continue
            most, older = most - taken, older + beyond
        newest = newest or Visits(run, older, unread)
    return newest or Visits()


def _run(part: Path) -> int:
    number = part.stem[:4]
    return int(number) if number.isdigit() else 0


def _take(connection: sqlite3.Connection, path: Path, most: int) -> tuple[int, int]:
    """Copy the newest records of a part; returns how many, and how many older ones there are. Raises StorageError."""
    with closing(connect_to_read(path)) as part, storage_errors(path):
        connection.executemany("INSERT INTO visit VALUES (?, ?, ?, ?, ?)", _newest(part, path.stem, most))
        there: int = part.execute("SELECT count(*) FROM page").fetchone()[0]
    return min(there, most), max(0, there - most)


def _newest(part: sqlite3.Connection, name: str, most: int) -> Iterator[tuple[str, int, str, float, float]]:
    query = f"SELECT ?, position, {HOST}, fetched_at - seconds, fetched_at FROM page ORDER BY position DESC LIMIT ?"
    yield from part.execute(query, (name, most))
