"""The default frontier: one SQLite file that anybody may query with plain SQL.

`url` has one row per URL; `reason` is NULL while it is owed. `host` has what must be remembered of a host, `budget`
what was asked for of its patterns, `outbox` the links on their way to other shards. `meta` holds the tally, committed
with the rows it counts. A kill loses at most the open batch.

`url.host` is a mark of the host (63 bits of xxh3 under the seed of the crawl: by accident two of 10^6 hosts share one
with a chance of 5e-8, and nobody can do it on purpose). The index `owed` makes the links that a host owes a queue on
disk; what is settled leaves it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.messages import Budget, Cookie, CookieNote, Foreign, HostNote, Link, Reach, Reason
from crawler.core.urls import host_of
from crawler.database import bound, connect, connect_to_read, storage_errors, transaction, unbound
from crawler.failpoints import passing
from crawler.frontier.base import Batch, Left, Row
from crawler.stats import Tally

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
    detail TEXT
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
    reach INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY, shard INTEGER NOT NULL, foreign_link TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS budget (
    host TEXT NOT NULL,
    pattern INTEGER NOT NULL,
    spent TEXT NOT NULL,
    PRIMARY KEY (host, pattern)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS joined ON host (host) WHERE joined;
CREATE TABLE IF NOT EXISTS cookie (home TEXT PRIMARY KEY, cookies TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
ADMIT = "INSERT INTO url (id, url, host, depth, via, attempts, status) VALUES (?, ?, ?, ?, ?, ?, ?)"
ADMIT_IF_NEW = f"{ADMIT} ON CONFLICT (url) DO NOTHING"
LINK = "id, url, depth, via, attempts, status"
PENDING = f"""SELECT {LINK} FROM url INDEXED BY owed
    WHERE host = ? AND reason IS NULL AND id > ? AND attempts = 0 ORDER BY id LIMIT ?"""
RETRIED = f"""SELECT {LINK} FROM url INDEXED BY retried
    WHERE host = ? AND reason IS NULL AND attempts > 0 ORDER BY id"""
NEXT_HOST = "SELECT host, url FROM url INDEXED BY owed WHERE host > ? AND reason IS NULL ORDER BY host LIMIT 1"
RETRY = "UPDATE url SET attempts = ?, status = ? WHERE id = ?"
SETTLE = """UPDATE url SET reason = ?, status = ?, attempts = ?, part = ?, position = ?, size = ?, digest = ?,
    truncated = ?, content_type = ?, settled_at = ?, seconds = ?, detail = ? WHERE id = ? AND reason IS NULL"""
PASS_ON = "DELETE FROM url WHERE id = ? AND reason IS NULL"
SEND = "INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)"
NOTED = "host, robots, robots_until, delay, rest_until, joined, reach"
NOTE = f"""INSERT INTO host ({NOTED}) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (host) DO UPDATE SET robots = coalesce(excluded.robots, robots), robots_until = excluded.robots_until,
    delay = excluded.delay, rest_until = excluded.rest_until, joined = max(joined, excluded.joined),
    reach = max(reach, excluded.reach)"""
KEEP_COOKIES = "INSERT OR REPLACE INTO cookie VALUES (?, ?)"
SPENT = "INSERT OR REPLACE INTO budget VALUES (?, ?, ?)"
KEEP_TALLY = "INSERT INTO meta VALUES ('tally', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class SqliteFrontier:
    """The frontier of one shard. `read_only` looks at the file of a crawl that may be running; `seed` is that of the
    crawl."""

    def __init__(self, path: Path, read_only: bool = False, seed: int = 0) -> None:
        self._path = path
        self._seed = seed
        self._connection = connect_to_read(path) if read_only else connect(path, SCHEMA)
        try:
            self._tally = self._read_tally()
        except BaseException:
            self._connection.close()
            raise

    def commit(self, batch: Batch, at: float) -> list[Link]:
        """Keep a batch in one transaction."""
        tally = msgspec.json.decode(msgspec.json.encode(self._tally), type=Tally)
        with transaction(self._connection, self._path) as connection:
            connection.executemany(ADMIT, map(self._row_of, batch.queued))
            new = [it for it in batch.doubtful if connection.execute(ADMIT_IF_NEW, self._row_of(it)).rowcount]
            gained = len(batch.queued) + len(new) - len(batch.passed)
            tally.add(
                gained,
                batch.settled,
                len(batch.retries),
                batch.too_deep,
                batch.cookies_dropped,
                batch.pauses,
                batch.not_followed,
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
                        bound(it.content_type) or None,
                        at,
                        it.seconds,
                        bound(it.detail) or None,
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
            connection.executemany(SPENT, spent_rows(batch.budgets))
            connection.executemany(PASS_ON, [(key,) for key in batch.passed])
            connection.executemany(SEND, [(it.seq, it.to, msgspec.json.encode(it).decode()) for it in batch.foreign])
            connection.executemany("DELETE FROM outbox WHERE seq = ?", [(seq,) for seq in batch.acknowledged])
            for note in batch.cookies.values():
                connection.execute("DELETE FROM cookie WHERE home = ?", (note.home,))
                if note.cookies:
                    connection.execute(KEEP_COOKIES, (note.home, msgspec.json.encode(note.cookies).decode()))
            keep_tally(connection, tally)
            passing("frontier.commit")
        self._tally = tally
        return new

    def owed(self) -> Iterator[Link]:
        """The links not settled."""
        return map(_link_of, self._rows(f"SELECT {LINK} FROM url WHERE reason IS NULL ORDER BY id"))

    def pending(self, host: str, after: int, count: int) -> list[Link]:
        """A window of the links of a host."""
        return [_link_of(row) for row in self._rows(PENDING, self._mark(host), after, count)]

    def retried(self, host: str) -> list[Link]:
        """The links of a host owed another attempt."""
        return [_link_of(row) for row in self._rows(RETRIED, self._mark(host))]

    def hosts(self, after: str, count: int) -> list[str]:
        """Hosts that owe links, by their marks."""
        names: list[str] = []
        mark = self._mark(after) if after else -1
        while len(names) < count and (row := next(self._rows(NEXT_HOST, mark), None)) is not None:
            mark = row[0]
            names.append(host_of(row[1]))
        return names

    def left(self) -> Left:
        """What a resume has to know."""
        seeds = next(self._rows("SELECT count(*) FROM url INDEXED BY seed WHERE reason IS NULL AND depth = 0"))[0]
        retried = self._rows("SELECT url FROM url INDEXED BY retried WHERE reason IS NULL AND attempts > 0")
        hosts = Counter(host_of(url) for (url,) in retried)
        joined = tuple(host for (host,) in self._rows("SELECT host FROM host INDEXED BY joined WHERE joined"))
        return Left(seeds, hosts.total(), tuple(hosts), joined)

    def urls(self) -> Iterator[str]:
        """Every URL."""
        return (url for (url,) in self._rows("SELECT url FROM url"))

    def outbox(self) -> Iterator[Foreign]:
        """The links on their way."""
        for (foreign,) in self._rows("SELECT foreign_link FROM outbox ORDER BY seq"):
            yield msgspec.json.decode(foreign, type=Foreign)

    def notes(self) -> Iterator[HostNote]:
        """The latest notes."""
        return map(_note_of, self._rows(f"SELECT {NOTED} FROM host"))

    def note(self, host: str) -> HostNote | None:
        """The latest note of a host."""
        row = next(self._rows(f"SELECT {NOTED} FROM host WHERE host = ?", host), None)
        return None if row is None else _note_of(row)

    def budgets(self, host: str) -> tuple[Budget, ...]:
        """What was asked for of a host."""
        rows = self._rows("SELECT spent FROM budget WHERE host = ?", host)
        return tuple(msgspec.json.decode(spent, type=Budget) for (spent,) in rows)

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
                content_type=unbound(kind or ""),
                settled_at=at,
                seconds=seconds,
                detail=unbound(detail or ""),
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

    def cookies(self) -> Iterator[CookieNote]:
        """The cookies of every home."""
        for home, cookies in self._rows("SELECT home, cookies FROM cookie"):
            yield CookieNote(home, msgspec.json.decode(cookies, type=tuple[Cookie, ...]))

    def next_id(self) -> int:
        """The first free id."""
        return next(self._rows("SELECT coalesce(max(id), 0) + 1 FROM url"))[0]  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the file."""
        with storage_errors(self._path):
            passing("frontier.close")
            self._connection.close()

    def _mark(self, host: str) -> int:
        return host_mark(host, self._seed)

    def _row_of(self, link: Link) -> tuple[int, str, int, int, str | None, int, int]:
        via = json.dumps(link.via) if link.via else None
        return link.id, link.url, self._mark(host_of(link.url)), link.depth, via, link.attempts, link.status

    def _read_tally(self) -> Tally:
        with storage_errors(self._path):
            return read_tally(self._connection)

    def _rows(self, query: str, *values: object) -> Iterator[sqlite3.Row]:
        with storage_errors(self._path):
            yield from self._connection.execute(query, values)


def _link_of(row: sqlite3.Row) -> Link:
    key, url, depth, via, attempts, status = row
    return Link(key, url, depth, tuple(json.loads(via)) if via else (), attempts, status)


def _note_of(row: sqlite3.Row) -> HostNote:
    host, robots, robots_until, delay, rest_until, joined, reach = row
    return HostNote(host, robots, robots_until, delay, rest_until, bool(joined), Reach(reach))


def largest(budgets: Iterable[Budget]) -> dict[tuple[str, int], Budget]:
    """Those of several shards, by host and pattern. Of two of one pattern the larger counts: a host may be asked for
    somewhat more than its budget, never for less."""
    found: dict[tuple[str, int], Budget] = {}
    for budget in budgets:
        key = budget.host, budget.pattern
        found[key] = max(budget, found.get(key, budget), key=lambda one: one.pages)
    return found


def spent_rows(budgets: Iterable[Budget]) -> list[tuple[str, int, str]]:
    """Budgets as rows; of several of one pattern the last."""
    last = {(it.host, it.pattern): it for it in budgets}
    return [(it.host, it.pattern, msgspec.json.encode(it).decode()) for it in last.values()]


def host_mark(host: str, seed: int) -> int:
    """What stands for a host in its rows, in the crawl of this seed."""
    return xxh3_64_intdigest(host.encode(), seed) >> 1


def read_tally(connection: sqlite3.Connection) -> Tally:
    """What the last commit to a file counted."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'tally'").fetchone()
    return Tally() if row is None else msgspec.json.decode(row[0], type=Tally)


def keep_tally(connection: sqlite3.Connection, tally: Tally) -> None:
    """Keep it, in the transaction that is open."""
    connection.execute(KEEP_TALLY, (msgspec.json.encode(tally).decode(),))
