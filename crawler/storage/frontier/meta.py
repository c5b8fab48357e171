"""The table `meta` of a frontier's file: its tally, and a copy of the manifest of the crawl.

Rules:
- The tally is stored in the transaction that changes what it counts.
- Older versions did not count everything, or counted otherwise: `read_tally` counts the rest from the rows.
- The copy of the manifest is what a lost one is rebuilt from (see crawler/storage/manifest.py).
"""

from __future__ import annotations

import sqlite3

import msgspec

from crawler.metrics.counters import Tally
from crawler.storage.database import row_checksum
from crawler.storage.frontier import beyond
from crawler.storage.frontier.commits import KEEP
from crawler.storage.frontier.schema import is_sealed

MANIFEST = "manifest"
TALLY = "tally"
SEEDS_ANSWERED = "SELECT count(*) FROM url WHERE depth = 0 AND reason IS NOT NULL AND status BETWEEN 200 AND 399"


def read_tally(connection: sqlite3.Connection) -> Tally:
    """The tally of the last commit to a file. Raises DecodeError where it is damaged."""
    checksum = "checksum" if is_sealed(connection) else "NULL"
    row = connection.execute(f"SELECT value, {checksum} FROM meta WHERE key = 'tally'").fetchone()
    if row is None:
        return Tally()
    if row[1] not in (None, row_checksum(TALLY, row[0])):
        raise msgspec.DecodeError("the tally does not match its checksum")
    tally = msgspec.json.decode(row[0], type=Tally)
    if tally.too_deep and not beyond.is_there(connection):
        tally.too_deep = 0  # older versions counted mentions
    if not says_seeds_answered(row[0]):
        tally.seeds_answered = connection.execute(SEEDS_ANSWERED).fetchone()[0]
    return tally


def says_seeds_answered(encoded: str) -> bool:
    """Whether an encoded tally has `seeds_answered`, which older versions did not count."""
    return '"seeds_answered"' in encoded


def keep_tally(connection: sqlite3.Connection, tally: Tally) -> None:
    """Store the tally, in the open transaction."""
    connection.execute(KEEP, (TALLY, msgspec.json.encode(tally).decode()))


def keep_manifest(connection: sqlite3.Connection, manifest: bytes) -> None:
    """Store a copy of the manifest, in the open transaction."""
    connection.execute(KEEP, (MANIFEST, manifest.decode()))
