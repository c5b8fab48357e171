"""The default frontier: one SQLite file, which can be queried with plain SQL.

`url` has one row per URL; `reason` is NULL while it is owed. `host` has the notes of a host, `budget` what was fetched
of its patterns, `outbox` the unacknowledged links to other shards. `meta` has the tally, committed with the rows it
counts. `beyond` has the URLs beyond the depth limit, see beyond.py. A kill loses at most the open batch.

`url.host` is a mark of the host (63 bits of xxh3 with the seed of the crawl: among 10^6 hosts two collide by accident
with a probability of 5e-8, and an attacker does not know the seed). The partial index `owed` is the queue of owed links
per host on disk; settled rows leave it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.messages import Budget, Cookie, CookieNote, HostNote, HostPlacement, Link, OutboxLink
from crawler.core.urls.canonical import host_of
from crawler.errors import Corrupt
from crawler.metrics.counters import Tally
from crawler.storage.database import (
    add_checksum,
    any_text,
    connect_to_read,
    from_sql_text,
    row_checksum,
    storage_errors,
    to_sql_text,
)
from crawler.storage.frontier import beyond
from crawler.storage.frontier.base import Batch, Left
from crawler.storage.frontier.commits import KEEP, counted
from crawler.storage.frontier.reopened import Reopened
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.frontier.schema import COLUMNS, is_sealed, open_file, sealed
from crawler.system.failpoints import passing

ADMITTED = ("id", "url", "host", "depth", "via", "attempts", "status")
ADMIT = f"""INSERT INTO url ({", ".join(ADMITTED)}, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,
    {sealed("url", {name: f"?{place}" for place, name in enumerate(ADMITTED, 1)})})"""
ADMIT_IF_NEW = f"{ADMIT} ON CONFLICT (url) DO NOTHING"
NOTHING = {"part": "", "position": 0, "digest": b"", "truncated": "", "unread": ""}
UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, AttributeError)
"""The errors of decoding a damaged row that has no checksum, or whose checksum is not checked."""
MANIFEST = "manifest"
REPAIR = "the command repair"
LINK = "id, url, depth, via, attempts, status"
PENDING = """SELECT {} FROM url INDEXED BY owed
    WHERE host = ? AND reason IS NULL AND id > ? AND attempts = 0 ORDER BY id LIMIT ?"""
RETRIED = """SELECT {} FROM url INDEXED BY retried
    WHERE host = ? AND reason IS NULL AND attempts > 0 ORDER BY id"""
NEXT_HOST = "SELECT {} FROM url INDEXED BY owed WHERE host > ? AND reason IS NULL ORDER BY host LIMIT 1"
RETRY = f"""UPDATE url SET attempts = ?1, status = ?2,
    checksum = {sealed("url", {"attempts": "?1", "status": "?2"}, "")} WHERE id = ?3"""
ENDED = (
    *("reason", "status", "attempts", "part", "position", "size", "digest", "truncated", "content_type", "settled_at"),
    *("seconds", "detail", "cut", "unread"),
)
SETTLE = f"""UPDATE url SET {", ".join(f"{name} = ?{place}" for place, name in enumerate(ENDED, 1))},
    checksum = {sealed("url", {name: f"?{place}" for place, name in enumerate(ENDED, 1)}, "")}
    WHERE id = ?{len(ENDED) + 1} AND reason IS NULL"""
SETTLED = "SELECT {} FROM url WHERE reason IS NOT NULL ORDER BY id"
NOT_FINE = """SELECT {} FROM url WHERE reason IS NOT NULL
    AND (reason NOT IN ('ok', 'redirect') OR truncated IS NOT NULL OR detail IS NOT NULL) ORDER BY id"""
"""The rows that may be reopened: all but plain successes."""
READ_ANEW = "UPDATE host SET robots_until = 0 WHERE host = ? AND robots_until > 0"
WAIT_ANEW = "UPDATE host SET down_for = 0 WHERE host = ? AND down_for > 0"
REOPEN = """UPDATE url SET reason = NULL, status = 0, attempts = 0, part = NULL, position = NULL, size = NULL,
    digest = NULL, truncated = NULL, content_type = NULL, settled_at = NULL, seconds = NULL, detail = NULL,
    cut = 0, unread = NULL WHERE id = ?"""
SEEDS_ANSWERED = "SELECT count(*) FROM url WHERE depth = 0 AND reason IS NOT NULL AND status BETWEEN 200 AND 399"
PASS_ON = "DELETE FROM url WHERE id = ? AND reason IS NULL"
SEND = f"""INSERT OR REPLACE INTO outbox (seq, shard, foreign_link, checksum) VALUES (?1, ?2, ?3,
    {sealed("outbox", {"seq": "?1", "shard": "?2", "foreign_link": "?3"})})"""
NOTED = "host, robots, robots_until, delay, rest_until, joined, reach, heard, down_for"
NOTE = f"""INSERT INTO host ({NOTED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (host) DO UPDATE SET robots = coalesce(excluded.robots, robots), robots_until = excluded.robots_until,
    delay = excluded.delay, rest_until = excluded.rest_until, joined = max(joined, excluded.joined),
    reach = max(reach, excluded.reach), heard = max(heard, excluded.heard), down_for = excluded.down_for"""
KEEP_COOKIES = "INSERT OR REPLACE INTO cookie (home, cookies) VALUES (?, ?)"
SPENT = f"""INSERT OR REPLACE INTO budget (host, pattern, spent, checksum) VALUES (?1, ?2, ?3,
    {sealed("budget", {"host": "?1", "pattern": "?2", "spent": "?3"})})"""
WHOLE = f"checksum IS row_checksum({', '.join(COLUMNS['url'])})"
ALL = ", ".join(COLUMNS["url"])


class SqliteFrontier:
    """The frontier of one shard. `read_only` opens the file of a crawl that may be running; `seed` is that of the
    crawl. Reading a damaged row raises Corrupt; a `lenient` frontier ignores checksums and tolerates such rows."""

    def __init__(self, path: Path, read_only: bool = False, seed: int = 0, lenient: bool = False) -> None:
        self._path = path
        self._seed = seed
        self._lenient = lenient
        self._connection = connect_to_read(path) if read_only else open_file(path)
        try:
            add_checksum(self._connection)
            if lenient:
                self._connection.text_factory = any_text
            with storage_errors(path):
                self._sealed = is_sealed(self._connection)
            self._noted = NOTED if self._sealed else NOTED.replace("heard, down_for", "robots IS NOT NULL, 0")
            self._tally = self._read_tally()
            if not read_only:
                self._complete_tally()
        except BaseException:
            self._connection.close()
            raise

    def commit(self, batch: Batch, at: float) -> list[Link]:
        """Store a batch in one transaction."""
        tally = self._copied_tally()
        with counted(self._connection, self._path) as connection:
            connection.executemany(ADMIT, map(self._row_of, batch.queued))
            new = [it for it in batch.undetermined if connection.execute(ADMIT_IF_NEW, self._row_of(it)).rowcount]
            gained = len(batch.queued) + len(new) - len(batch.transferred)
            too_deep = beyond.keep(connection, batch.beyond)
            if tally.too_deep + too_deep:
                admitted = (link.url for link in (*batch.queued, *new))
                too_deep -= beyond.forget(connection, (*admitted, *batch.handed))
            tally.add(
                gained,
                batch.settled,
                len(batch.retries),
                too_deep,
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
                        to_sql_text(it.content_type) or None,
                        at,
                        it.seconds,
                        to_sql_text(it.detail) or None,
                        it.cut,
                        it.unread,
                        it.id,
                    )
                    for it in batch.settled
                ],
            )
            connection.executemany(NOTE, map(note_row, batch.notes))
            connection.executemany(SPENT, spent_rows(batch.budgets))
            connection.executemany(PASS_ON, [(key,) for key in batch.transferred])
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

    def reopen(self, words: frozenset[str]) -> Reopened:
        """Make the selected URLs owed again, in one transaction."""
        found, tally = Reopened(), self._copied_tally()
        with counted(self._connection, self._path) as connection:
            tally.take_back(filter(None, (found.take(words, row) for row in self._settled(NOT_FINE))))
            connection.executemany(REOPEN, [(key,) for key in found.ids])
            connection.executemany(WAIT_ANEW, [(host,) for host in found.hosts])
            connection.executemany(READ_ANEW, [(host,) for host in found.forbidden])
            for host in found.asked.keys() | found.restarted:
                budgets = self.budgets(host)
                connection.execute("DELETE FROM budget WHERE host = ?", (host,))
                connection.executemany(SPENT, spent_rows(filter(None, map(found.relieve, budgets))))
            keep_tally(connection, tally)
            passing("frontier.reopen")
        self._tally = tally
        return found

    def owed(self) -> Iterator[Link]:
        """The links not settled."""
        return self._links("SELECT {} FROM url WHERE reason IS NULL ORDER BY id")

    def pending(self, host: str, after: int, count: int) -> list[Link]:
        """A window of the links of a host."""
        return list(self._links(PENDING, self._mark(host), after, count))

    def retried(self, host: str) -> list[Link]:
        """The links of a host that wait for a retry."""
        return list(self._links(RETRIED, self._mark(host)))

    def hosts(self, after: str, count: int) -> list[str]:
        """Hosts with owed links, in the order of their marks."""
        names: list[str] = []
        mark = self._mark(after) if after else -1
        while len(names) < count and (row := next(self._whole(NEXT_HOST, "id, host, url", mark), None)) is not None:
            mark = row[1]
            names.append(host_of(row[2]))
        return names

    def left(self) -> Left:
        """The figures that a resume needs."""
        seeds = next(self._rows("SELECT count(*) FROM url INDEXED BY seed WHERE reason IS NULL AND depth = 0"))[0]
        retried = self._rows("SELECT url FROM url INDEXED BY retried WHERE reason IS NULL AND attempts > 0")
        with self._decoding():
            hosts = Counter(host_of(url) for (url,) in retried)
        joined = tuple(host for (host,) in self._rows("SELECT host FROM host INDEXED BY joined WHERE joined"))
        return Left(seeds, hosts.total(), tuple(hosts), joined)

    def count(self) -> int:
        """How many URLs there are."""
        return next(self._rows("SELECT count(*) FROM url"))[0]  # type: ignore[no-any-return]

    def urls(self) -> Iterator[str]:
        """Every URL."""
        for key, url in self._rows("SELECT id, url FROM url"):
            if not isinstance(url, str):  # SQLite may read rows of NULL from a truncated page
                raise self._damaged(key)
            yield url

    def outbox(self) -> Iterator[OutboxLink]:
        """The unacknowledged links to other shards."""
        with self._decoding():
            for (foreign,) in self._checked("outbox", "foreign_link", "ORDER BY seq"):
                yield msgspec.json.decode(foreign, type=OutboxLink)

    def notes(self) -> Iterator[HostNote]:
        """The latest notes."""
        return map(_note_of, self._checked("host", self._noted, ""))

    def note(self, host: str) -> HostNote | None:
        """The latest note of a host."""
        row = next(self._checked("host", self._noted, "WHERE host = ?", host), None)
        return None if row is None else _note_of(row)

    def budgets(self, host: str) -> tuple[Budget, ...]:
        """The budgets of a host."""
        rows = self._checked("budget", "spent", "WHERE host = ?", host)
        with self._decoding():
            return tuple(msgspec.json.decode(spent, type=Budget) for (spent,) in rows)

    def settled(self) -> Iterator[SettledRow]:
        """Every settled URL."""
        return self._settled(SETTLED)

    def _settled(self, query: str) -> Iterator[SettledRow]:
        for values in self._whole(query, ALL):
            try:
                yield _row_of(values)
            except UNREADABLE as error:
                if not self._lenient:
                    raise self._damaged(values[0]) from error

    def beyond(self) -> Iterator[Link]:
        """The URLs beyond the depth limit."""
        if not beyond.is_there(self._connection):
            return
        for url, depth, via in self._checked("beyond", "url, depth, via", "ORDER BY id"):
            yield Link(0, url, depth, tuple(json.loads(via)) if via else ())

    def admit_within(self, max_depth: int | None) -> int:
        """Admit what is within the limit, in several transactions."""
        total = 0
        while self._tally.too_deep:
            tally = self._copied_tally()
            with counted(self._connection, self._path) as connection:
                gone, admitted = beyond.admit_some(connection, max_depth, self._mark)
                tally.too_deep -= gone
                tally.queued += admitted
                keep_tally(connection, tally)
            self._tally = tally
            total += admitted
            if not gone:
                break
        return total

    def named(self, parts: Iterable[str]) -> dict[str, dict[int, str]]:
        """Positions that settled rows name, by part."""
        named: dict[str, dict[int, str]] = {part: {} for part in parts}
        if named:
            for part, position, url in self._rows("SELECT part, position, url FROM url WHERE part IS NOT NULL"):
                if part in named:
                    named[part][position] = url
        return named

    def records(self) -> dict[str, int]:
        """The parts that settled rows name, with their numbers of records."""
        rows = self._rows("SELECT part, count(*) FROM url WHERE part IS NOT NULL GROUP BY part")
        return {str(row[0]): int(row[1]) for row in rows}

    def tally(self) -> Tally:
        """The tally of the last commit; a reader of a running crawl sees the newest."""
        return self._read_tally()

    def cookies(self) -> Iterator[CookieNote]:
        """The cookies of every home."""
        with self._decoding():
            for home, cookies in self._checked("cookie", "home, cookies", ""):
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

    def keep_manifest(self, manifest: bytes) -> None:
        """Store a copy of the manifest, from which a lost one can be rebuilt."""
        with counted(self._connection, self._path) as connection:
            connection.execute(KEEP, (MANIFEST, manifest.decode()))

    def _complete_tally(self) -> None:
        """Store the tally if an earlier version has not counted all of it, or counted otherwise, before rows are moved
        to other files."""
        if self._tally.too_deep and next(self.beyond(), None) is None:
            self._tally.too_deep = 0  # an older version counted mentions, and kept no URLs
        with storage_errors(self._path):
            kept = [value for (value,) in self._connection.execute("SELECT value FROM meta WHERE key = 'tally'")]
        if any(msgspec.json.decode(value) != msgspec.to_builtins(self._tally) for value in kept):
            with counted(self._connection, self._path) as connection:
                keep_tally(connection, self._tally)

    def _copied_tally(self) -> Tally:
        return msgspec.json.decode(msgspec.json.encode(self._tally), type=Tally)

    def _read_tally(self) -> Tally:
        try:
            with storage_errors(self._path), self._decoding():
                return read_tally(self._connection)
        except Corrupt:
            if self._lenient:
                return Tally()
            raise

    def _links(self, query: str, *values: object) -> Iterator[Link]:
        for row in self._whole(query, LINK, *values):
            try:
                yield _link_of(row)
            except UNREADABLE as error:
                if not self._lenient:
                    raise self._damaged(row[0]) from error
                yield Link(row[0], "", 0)

    def _whole(self, query: str, columns: str, *values: object) -> Iterator[Sequence[Any]]:
        """Rows of `url`, the id first. Raises Corrupt where a checksum does not match."""
        if not self._sealed:
            columns = columns.replace("cut, unread", "0, NULL")
        check = WHOLE if self._sealed and not self._lenient else "1"
        for *row, whole in self._rows(query.format(f"{columns}, {check}"), *values):
            if not whole:
                raise self._damaged(row[0])
            yield row

    def _checked(self, table: str, columns: str, which: str, *values: object) -> Iterator[Sequence[Any]]:
        """Rows of another table. Raises Corrupt where a checksum does not match."""
        checked = self._sealed and not self._lenient
        check = f"checksum IS row_checksum({', '.join(COLUMNS[table])})" if checked else "1"
        for *row, whole in self._rows(f"SELECT {columns}, {check} FROM {table} {which}", *values):
            if not whole:
                raise Corrupt(
                    f"{self._path} is damaged (a row of its table {table} is not what was written); use {REPAIR}"
                )
            yield row

    def _damaged(self, key: object) -> Corrupt:
        return Corrupt(f"{self._path} is damaged (row {key} of its URLs is not what was written); use {REPAIR}")

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """Context manager: map decoding errors to Corrupt."""
        try:
            yield
        except UNREADABLE as error:
            raise Corrupt(f"{self._path} is damaged ({error}); use {REPAIR}") from error

    def _rows(self, query: str, *values: object) -> Iterator[sqlite3.Row]:
        with storage_errors(self._path):
            yield from self._connection.execute(query, values)


def _link_of(row: Sequence[Any]) -> Link:
    key, url, depth, via, attempts, status = row
    return Link(key, url, depth, tuple(json.loads(via)) if via else (), attempts, status)


def _row_of(values: Sequence[Any]) -> SettledRow:
    """A settled row. Raises ValidationError, ValueError, TypeError."""
    row = dict(zip(COLUMNS["url"], values, strict=True))
    for name in ("content_type", "detail"):
        row[name] = from_sql_text(row[name] or "")
    for name, nothing in NOTHING.items():
        row[name] = row[name] or nothing
    row["url"].encode()  # raises for lone surrogates: no URL has them
    return msgspec.convert(row, SettledRow)


def _note_of(row: Sequence[Any]) -> HostNote:
    host, robots, robots_until, delay, rest_until, joined, reach, heard, down_for = row
    return HostNote(
        host, robots, robots_until, delay, rest_until, bool(joined), HostPlacement(reach), bool(heard), float(down_for)
    )


def note_row(note: HostNote) -> tuple[object, ...]:
    """The row of a HostNote, for NOTE."""
    return tuple(getattr(note, name) for name in HostNote.__struct_fields__)


def max_budgets(budgets: Iterable[Budget]) -> dict[tuple[str, int], Budget]:
    """The budgets of several shards, by (host, pattern). Of two for one pattern the larger counts: a host may get
    somewhat more fetches than its budget, never fewer."""
    found: dict[tuple[str, int], Budget] = {}
    for budget in budgets:
        key = budget.host, budget.pattern
        found[key] = max(budget, found.get(key, budget), key=lambda one: one.pages)
    return found


def spent_rows(budgets: Iterable[Budget]) -> list[tuple[str, int, str]]:
    """Budgets as rows; of several for one pattern the last."""
    last = {(it.host, it.pattern): it for it in budgets}
    return [(it.host, it.pattern, msgspec.json.encode(it).decode()) for it in last.values()]


def host_mark(host: str, seed: int) -> int:
    """The mark of a host in the rows of `url`: 63 bits of xxh3 with the seed of the crawl."""
    return xxh3_64_intdigest(host.encode(), seed) >> 1


def read_tally(connection: sqlite3.Connection) -> Tally:
    """The tally of the last commit to a file. Raises DecodeError where it is damaged."""
    checksum = "checksum" if is_sealed(connection) else "NULL"
    row = connection.execute(f"SELECT value, {checksum} FROM meta WHERE key = 'tally'").fetchone()
    if row is None:
        return Tally()
    if row[1] not in (None, row_checksum("tally", row[0])):
        raise msgspec.DecodeError("the tally is not what was written")
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
    connection.execute(KEEP, ("tally", msgspec.json.encode(tally).decode()))
