"""The default frontier: one SQLite file that anybody may query with plain SQL.

`url` has one row per URL; `reason` is NULL while it is owed. `host` has what must be remembered of a host, `outbox` the
links on their way to other shards. `meta` holds the tally, committed with the rows it counts. Writing costs about 11 us
a row in batches; a kill loses at most the open batch.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from crawler.core.messages import Foreign, HostNote, Link, Reach, Reason
from crawler.database import connect, connect_to_read, storage_errors, transaction
from crawler.frontier.base import Batch, Row
from crawler.stats import Tally

SCHEMA = """
CREATE TABLE IF NOT EXISTS url (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
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
    detail TEXT
);
CREATE TABLE IF NOT EXISTS host (
    host TEXT PRIMARY KEY,
    robots TEXT,
    robots_until REAL NOT NULL,
    delay REAL NOT NULL,
    rest_until REAL NOT NULL,
    joined INTEGER NOT NULL,
    reach INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY, shard INTEGER NOT NULL, foreign_link TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
ADMIT = "INSERT INTO url (id, url, depth, via) VALUES (?, ?, ?, ?)"
RETRY = "UPDATE url SET attempts = ?, status = ? WHERE id = ?"
SETTLE = """UPDATE url SET reason = ?, status = ?, attempts = ?, part = ?, position = ?, size = ?, digest = ?,
    truncated = ?, content_type = ?, settled_at = ?, seconds = ?, detail = ? WHERE id = ? AND reason IS NULL"""
ADOPT = "INSERT INTO url (id, url, depth, via, attempts, status) VALUES (?, ?, ?, ?, ?, ?)"
PASS_ON = "DELETE FROM url WHERE id = ? AND reason IS NULL"
SEND = "INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)"
NOTE = """INSERT INTO host (host, robots, robots_until, delay, rest_until, joined, reach) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (host) DO UPDATE SET robots = coalesce(excluded.robots, robots), robots_until = excluded.robots_until,
    delay = excluded.delay, rest_until = excluded.rest_until, joined = excluded.joined,
    reach = excluded.reach"""
KEEP_TALLY = "INSERT INTO meta VALUES ('tally', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class SqliteFrontier:
    """The frontier of one shard. `read_only` looks at the file of a crawl that may be running."""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        self._path = path
        self._connection = connect_to_read(path) if read_only else connect(path, SCHEMA)
        try:
            self._tally = self._read_tally()
        except BaseException:
            self._connection.close()
            raise

    def commit(self, batch: Batch, at: float) -> None:
        """Keep a batch in one transaction."""
        tally = msgspec.json.decode(msgspec.json.encode(self._tally), type=Tally)
        tally.add(batch.gained, batch.settled, len(batch.retries), batch.too_deep)
        with transaction(self._connection, self._path) as connection:
            connection.executemany(
                ADMIT, [(it.id, it.url, it.depth, json.dumps(it.via) if it.via else None) for it in batch.queued]
            )
            if batch.adopted:
                connection.executemany(
                    ADOPT,
                    [
                        (it.id, it.url, it.depth, json.dumps(it.via) if it.via else None, it.attempts, it.status)
                        for it in batch.adopted
                    ],
                )
            connection.executemany(RETRY, [(it.attempts, it.status, it.id) for it in batch.retries])
            connection.executemany(
                SETTLE,
                [
                    (
                        it.reason.value,
                        it.status,
                        it.attempts,
                        it.part or None,
                        it.position or None,
                        it.size,
                        it.digest or None,
                        it.truncated or None,
                        it.content_type or None,
                        at,
                        it.seconds,
                        it.detail or None,
                        it.id,
                    )
                    for it in batch.settled
                ],
            )
            connection.executemany(
                NOTE,
                [
                    (it.host, it.robots, it.robots_until, it.delay, it.rest_until, it.joined, it.reach)
                    for it in batch.notes
                ],
            )
            connection.executemany(PASS_ON, [(key,) for key in batch.passed])
            connection.executemany(SEND, [(it.seq, it.to, msgspec.json.encode(it).decode()) for it in batch.foreign])
            connection.executemany("DELETE FROM outbox WHERE seq = ?", [(seq,) for seq in batch.acknowledged])
            connection.execute(KEEP_TALLY, (msgspec.json.encode(tally).decode(),))
        self._tally = tally

    def owed(self) -> Iterator[Link]:
        """The links not settled."""
        rows = self._rows("SELECT id, url, depth, via, attempts, status FROM url WHERE reason IS NULL ORDER BY id")
        for key, url, depth, via, attempts, status in rows:
            yield Link(key, url, depth, tuple(json.loads(via)) if via else (), attempts, status)

    def urls(self) -> Iterator[str]:
        """Every URL."""
        return (url for (url,) in self._rows("SELECT url FROM url"))

    def outbox(self) -> Iterator[Foreign]:
        """The links on their way."""
        for (foreign,) in self._rows("SELECT foreign_link FROM outbox ORDER BY seq"):
            yield msgspec.json.decode(foreign, type=Foreign)

    def notes(self) -> Iterator[HostNote]:
        """The latest notes."""
        rows = self._rows("SELECT host, robots, robots_until, delay, rest_until, joined, reach FROM host")
        for host, robots, robots_until, delay, rest_until, joined, reach in rows:
            yield HostNote(host, robots, robots_until, delay, rest_until, bool(joined), Reach(reach))

    def settled(self) -> Iterator[Row]:
        """Every settled URL."""
        rows = self._rows(
            "SELECT id, url, depth, reason, status, attempts, part, position, size, digest, truncated, content_type,"
            " settled_at, seconds, detail FROM url WHERE reason IS NOT NULL ORDER BY id"
        )
        for (
            key,
            url,
            depth,
            reason,
            status,
            attempts,
            part,
            position,
            size,
            digest,
            cut,
            kind,
            at,
            seconds,
            detail,
        ) in rows:
            yield Row(
                id=key,
                url=url,
                depth=depth,
                reason=Reason(reason),
                status=status,
                attempts=attempts,
                part=part or "",
                position=position or 0,
                size=size,
                digest=digest or b"",
                truncated=cut or "",
                content_type=kind or "",
                settled_at=at,
                seconds=seconds,
                detail=detail or "",
            )

    def named(self, parts: Iterable[str]) -> dict[str, dict[int, str]]:
        """Positions that settled rows name."""
        named: dict[str, dict[int, str]] = {part: {} for part in parts}
        if named:
            for part, position, url in self._rows("SELECT part, position, url FROM url WHERE part IS NOT NULL"):
                if part in named:
                    named[part][position] = url
        return named

    def records(self) -> dict[str, int]:
        """The parts that settled rows name."""
        rows = self._rows("SELECT part, count(*) FROM url WHERE part IS NOT NULL GROUP BY part")
        return {str(row[0]): int(row[1]) for row in rows}

    def tally(self) -> Tally:
        """What the last commit counted; a reader beside a live crawl sees the newest."""
        return self._read_tally()

    def next_id(self) -> int:
        """The first free id."""
        return next(self._rows("SELECT coalesce(max(id), 0) + 1 FROM url"))[0]  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the file."""
        with storage_errors(self._path):
            self._connection.close()

    def _read_tally(self) -> Tally:
        row = next(self._rows("SELECT value FROM meta WHERE key = 'tally'"), None)
        return Tally() if row is None else msgspec.json.decode(row[0], type=Tally)

    def _rows(self, query: str, *values: object) -> Iterator[sqlite3.Row]:
        with storage_errors(self._path):
            yield from self._connection.execute(query, values)
