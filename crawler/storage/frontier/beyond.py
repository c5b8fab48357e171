"""The table of URLs beyond the depth limit in the file of a frontier: found, in scope, and not admitted.

Rules:
- A URL has one row, with the smallest depth it was found at. It is never in the table `url` too: the row goes when the
  URL is admitted by a shorter path.
- The tally counts the rows (`too_deep`), in the same transaction.
- A run with a larger limit admits the URLs within it before it begins. A smaller limit removes no admitted URL.
- Files of older versions have no such table until they are opened to write.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence

from crawler.core.messages import Link
from crawler.core.urls.canonical import host_of
from crawler.storage.frontier.encoding import encoded_via

AT_ONCE = 1000
MOST = 2**62
KEEP = """INSERT OR IGNORE INTO beyond (url, depth, via)
    SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM url WHERE url = ?1)"""
NEARER = "UPDATE beyond SET depth = ?2, via = ?3 WHERE url = ?1 AND depth > ?2"
FORGET = "DELETE FROM beyond WHERE url = ?"
FORGET_KNOWN = "DELETE FROM beyond WHERE url IN (SELECT beyond.url FROM beyond JOIN url ON url.url = beyond.url)"
WITHIN = "SELECT id, url, depth, via FROM beyond WHERE depth <= ? ORDER BY id LIMIT ?"
ADMIT = "INSERT OR IGNORE INTO url (url, host, depth, via) VALUES (?, ?, ?, ?)"


def keep(connection: sqlite3.Connection, links: Iterable[Link]) -> int:
    """Store links beyond the limit, in the open transaction. Returns how many are new."""
    return keep_rows(connection, [(it.url, it.depth, encoded_via(it.via)) for it in links])


def keep_rows(connection: sqlite3.Connection, rows: Sequence[Sequence[object]]) -> int:
    """As `keep`, for rows (url, depth, via) as in the table."""
    if not rows:
        return 0
    new = connection.executemany(KEEP, rows).rowcount
    if new < len(rows):
        connection.executemany(NEARER, rows)
    return new


def forget(connection: sqlite3.Connection, urls: Iterable[str]) -> int:
    """Remove URLs that were admitted or belong to another shard. Returns how many were there."""
    return max(0, connection.executemany(FORGET, ((url,) for url in urls)).rowcount)


def admit_some(connection: sqlite3.Connection, most: int | None, mark: Callable[[str], int]) -> tuple[int, int]:
    """Admit at most AT_ONCE rows whose depth is within the limit `most`, in the open transaction; `mark` gives the mark
    of a host. Returns how many rows were removed, and how many URLs became owed."""
    found = connection.execute(WITHIN, (MOST if most is None else most, AT_ONCE)).fetchall()
    new = [(url, mark(host_of(url)), depth, via) for _, url, depth, via in found]
    admitted = connection.executemany(ADMIT, new).rowcount if new else 0
    connection.executemany("DELETE FROM beyond WHERE id = ?", [(row[0],) for row in found])
    return len(found), admitted


def forget_known(connection: sqlite3.Connection) -> int:
    """Remove URLs that are also in the table `url`: their rows came from another file. Returns how many there were."""
    return connection.execute(FORGET_KNOWN).rowcount


def is_there(connection: sqlite3.Connection) -> bool:
    """Whether the file has the table."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'beyond'").fetchone() is not None
