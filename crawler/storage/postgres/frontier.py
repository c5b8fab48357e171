"""The frontier of one shard in PostgreSQL, to read and write.

Rules:
- **Fence.** Whoever opens a shard to write raises its `epoch`. Each transaction first locks the row of the shard and
  compares: one with an older epoch is refused (and counted in `refused`), so a process that was declared dead and still
  lives writes nothing.
- **A commit in doubt.** Where the connection is lost while COMMIT is on its way, nobody knows whether it took place. So
  each transaction also counts `commits`; the retry of the batch reads the count and does not write it twice.
- A batch is one pipeline: two round trips, whatever it holds.
- A server that is away raises Unreachable; the recorder retries the batch as on a full disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import psycopg

from crawler.core.messages import Link
from crawler.errors import Locked
from crawler.metrics.counters import Tally
from crawler.storage.frontier.base import Batch
from crawler.storage.frontier.encoding import decoded_via, spent_rows
from crawler.storage.frontier.meta import MANIFEST
from crawler.storage.frontier.reopened import Reopened
from crawler.storage.postgres import statements as sql
from crawler.storage.postgres.reader import ALL, OURS, PostgresReader
from crawler.storage.postgres.schema import ensure_tables, url_mark
from crawler.storage.postgres.session import Connection, Database, PostgresSession
from crawler.system.failpoints import passing

AT_ONCE = 1000
TAKE = """INSERT INTO crawler.shard AS known (crawl, shard, epoch) VALUES (%(crawl)s, %(shard)s, 1)
    ON CONFLICT (crawl, shard) DO UPDATE SET epoch = known.epoch + 1 RETURNING epoch, commits, tally"""
FENCE = f"""SELECT 1 / count(*) FROM (
    SELECT 1 FROM crawler.shard WHERE {OURS} AND epoch = %(epoch)s FOR UPDATE) AS held"""
"""Locks the row of the shard, or fails with a division by zero, which ends the pipeline there and then."""
COMMITS = f"SELECT commits FROM crawler.shard WHERE {OURS} AND epoch = %(epoch)s FOR UPDATE"
REFUSE = f"UPDATE crawler.shard SET refused = refused + 1 WHERE {OURS}"
ADVANCE = f"UPDATE crawler.shard SET commits = %(commits)s, tally = %(tally)s WHERE {OURS}"
WITHIN = f"""SELECT id, url, mark, depth, via FROM crawler.beyond
    WHERE {OURS} AND depth <= %(depth)s ORDER BY id LIMIT %(most)s"""
DEEPEST = 2**31 - 1
NOT_FINE = f"""SELECT {ALL} FROM crawler.url WHERE {OURS} AND reason IS NOT NULL AND id > %(last)s
    AND (reason NOT IN ('ok', 'redirect') OR truncated IS NOT NULL OR detail IS NOT NULL) ORDER BY id LIMIT %(most)s"""
"""The rows that may be reopened: all but plain successes."""
REOPEN = f"""UPDATE crawler.url SET reason = NULL, status = 0, attempts = 0, part = NULL, position = NULL, size = NULL,
    digest = NULL, truncated = NULL, content_type = NULL, settled_at = NULL, seconds = NULL, detail = NULL, cut = 0,
    unread = NULL WHERE {OURS} AND id = ANY(%(ids)s::bigint[])"""
WAIT_ANEW = f"UPDATE crawler.host SET down_for = 0 WHERE {OURS} AND host = ANY(%(hosts)s::text[]) AND down_for > 0"
READ_ANEW = (
    f"UPDATE crawler.host SET robots_until = 0 WHERE {OURS} AND host = ANY(%(hosts)s::text[]) AND robots_until > 0"
)
FORGET_BUDGETS = f"DELETE FROM crawler.budget WHERE {OURS} AND host = %(host)s"


class _Written:
    """The results of a batch that are needed to count it; None where there was no such statement."""

    admitted: Any = None
    kept: Any = None
    forgotten: Any = None


class _Doubt(NamedTuple):
    """A batch whose COMMIT was sent and not answered: what holds if it took place."""

    batch: Batch
    commits: int
    new: list[Link]
    tally: Tally


class PostgresFrontier(PostgresReader):
    """The frontier of shard `shard` of the crawl with this seed. To open it takes it from the process that
    has it open. Raises StorageError; Locked where another process has taken it since."""

    def __init__(self, database: Database, seed: int, shard: int = 0) -> None:
        super().__init__(PostgresSession(database), seed, shard)
        self._doubt: _Doubt | None = None
        try:
            with self._session.use() as connection:
                ensure_tables(connection, database)
                taken: Any = connection.execute(TAKE, self._key).fetchone()
        except BaseException:
            self._session.close()
            raise
        self._fence = self._key | {"epoch": taken[0]}
        self._commits: int = taken[1]
        self._tally: Tally = self._decoded(taken[2], Tally)

    def commit(self, batch: Batch, at: float) -> list[Link]:
        """Store a batch in one transaction."""
        with self._owned() as connection:
            if (doubt := self._resolved(connection)) is not None and doubt.batch is batch:
                return doubt.new
            with connection.pipeline() as pipeline, connection.transaction():
                connection.execute(FENCE, self._fence)
                found = self._write(connection, batch, at)
                pipeline.sync()
                ids = {row[0] for row in found.admitted.fetchall()} if found.admitted else set()
                new = [link for link in batch.undetermined if link.id in ids]
                tally = self._counted(batch, new, found)
                passing("frontier.commit")
                self._doubt = _Doubt(batch, self._commits + 1, new, tally)
                self._advance(connection, tally)
            self._accept(self._doubt)
            return new

    def _write(self, connection: Connection, batch: Batch, at: float) -> _Written:
        """Send all that a batch holds. The results are there after the next sync."""

        def run(query: str, values: sql.Values) -> Any:
            return connection.execute(query, {**self._key, **values})

        found = _Written()
        if batch.queued:
            run(sql.ADMIT, sql.new_links(batch.queued, self._seed))
        if batch.undetermined:
            found.admitted = run(sql.ADMIT_IF_NEW, sql.new_links(batch.undetermined, self._seed))
        if batch.beyond:
            found.kept = run(sql.KEEP_BEYOND, sql.too_deep(batch.beyond, self._seed))
        if batch.beyond or self._tally.too_deep:
            urls = [*(link.url for link in (*batch.queued, *batch.undetermined)), *batch.handed]
            found.forgotten = run(sql.FORGET_BEYOND, {"marks": [url_mark(url, self._seed) for url in urls]})
        if batch.retries:
            run(sql.RETRY, sql.tried(batch.retries))
        if batch.settled:
            run(sql.SETTLE, sql.ended(batch.settled, at))
        for note in batch.notes:
            run(sql.NOTE, sql.note_values(note))
        for host, pattern, spent in spent_rows(batch.budgets):
            run(sql.SPENT, {"host": host, "pattern": pattern, "spent": spent.encode()})
        if batch.transferred:
            run(sql.PASS_ON, {"ids": batch.transferred})
        for one in batch.foreign:
            run(sql.SEND, {"seq": one.seq, "target": one.to, "foreign_link": msgspec.json.encode(one)})
        if batch.acknowledged:
            run(sql.ACKNOWLEDGE, {"seqs": batch.acknowledged})
        for jar in batch.cookies.values():
            if jar.cookies:
                run(sql.KEEP_COOKIES, {"home": jar.home, "cookies": msgspec.json.encode(jar.cookies)})
        if empty := [jar.home for jar in batch.cookies.values() if not jar.cookies]:
            run(sql.FORGET_COOKIES, {"homes": empty})
        return found

    def _counted(self, batch: Batch, new: list[Link], found: _Written) -> Tally:
        """The tally with this batch."""
        tally = self._copied_tally()
        kept = sum(row[0] for row in found.kept.fetchall()) if found.kept else 0
        forgotten = found.forgotten.rowcount if found.forgotten else 0
        tally.add(
            len(batch.queued) + len(new) - len(batch.transferred),
            batch.settled,
            len(batch.retries),
            kept - forgotten,
            batch.cookies_dropped,
            batch.pauses,
            batch.not_followed,
        )
        return tally

    def reopen(self, words: frozenset[str]) -> Reopened:
        """Make the selected URLs owed again, in one transaction."""
        found, tally = Reopened(), self._copied_tally()
        with self._transaction(tally) as connection:
            rows = map(self._settled_row, self._pieces(NOT_FINE, 0))
            tally.take_back(filter(None, (found.take(words, row) for row in rows)))
            connection.execute(REOPEN, self._key | {"ids": found.ids})
            connection.execute(WAIT_ANEW, self._key | {"hosts": list(found.hosts)})
            connection.execute(READ_ANEW, self._key | {"hosts": list(found.forbidden)})
            for host in found.asked.keys() | found.restarted:
                budgets = self.budgets(host)
                connection.execute(FORGET_BUDGETS, self._key | {"host": host})
                for _, pattern, spent in spent_rows(filter(None, map(found.relieve, budgets))):
                    values = {"host": host, "pattern": pattern, "spent": spent.encode()}
                    connection.execute(sql.SPENT, self._key | values)
            passing("frontier.reopen")
        return found

    def admit_within(self, max_depth: int | None) -> int:
        """Admit what is within the limit, in several transactions."""
        total = 0
        while self._tally.too_deep:
            tally = self._copied_tally()
            with self._transaction(tally) as connection:
                limits = {"depth": DEEPEST if max_depth is None else max_depth, "most": AT_ONCE}
                within = connection.execute(WITHIN, self._key | limits).fetchall()
                if not within:
                    break
                links = [
                    Link(number, url, depth, decoded_via(via))
                    for number, (_, url, _, depth, via) in enumerate(within, self.next_id())
                ]
                added = connection.execute(sql.ADMIT_IF_NEW, {**self._key, **sql.new_links(links, self._seed)})
                connection.execute(sql.FORGET_BEYOND, self._key | {"marks": [row[2] for row in within]})
                tally.too_deep -= len(within)
                tally.queued += added.rowcount
            total += added.rowcount
        return total

    def keep_manifest(self, manifest: bytes) -> None:
        """Store a copy of the manifest."""
        with self._transaction(self._copied_tally()) as connection:
            connection.execute(sql.KEEP_META, self._key | {"key": MANIFEST, "value": manifest})

    # ---- the fence -------------------------------------------------------------------------------------------------

    @contextmanager
    def _owned(self) -> Iterator[Connection]:
        """Context manager: the connection. A transaction that the fence refuses is counted. Raises Locked."""
        with self._session.use() as connection:
            try:
                yield connection
            except psycopg.errors.DivisionByZero:
                connection.execute(REFUSE, self._key)
                raise self._lost() from None

    @contextmanager
    def _transaction(self, tally: Tally) -> Iterator[Connection]:
        """Context manager: a transaction behind the fence, which stores this tally at its end."""
        with self._owned() as connection:
            self._resolved(connection)
            with connection.transaction():
                connection.execute(FENCE, self._fence)
                yield connection
                self._advance(connection, tally)
            self._commits += 1
            self._tally = tally

    def _lost(self) -> Locked:
        return Locked(
            f"another process has taken shard {self._key['shard']} of this crawl in {self._session.database}; what this"
            " one had stored is kept, and it writes no more"
        )

    def _advance(self, connection: Connection, tally: Tally) -> None:
        encoded = msgspec.json.encode(tally).decode()
        connection.execute(ADVANCE, self._key | {"commits": self._commits + 1, "tally": encoded})

    def _resolved(self, connection: Connection) -> _Doubt | None:
        """Find out whether the commit in doubt took place; it, if so. It waits for a server that still works on it."""
        doubt = self._doubt
        if doubt is None:
            return None
        row = connection.execute(COMMITS, self._fence).fetchone()
        if row is None:
            connection.execute(REFUSE, self._key)
            raise self._lost()
        if row[0] != doubt.commits:
            self._doubt = None
            return None
        self._accept(doubt)
        return doubt

    def _accept(self, done: _Doubt) -> None:
        self._commits, self._tally, self._doubt = done.commits, done.tally, None

    def _copied_tally(self) -> Tally:
        return msgspec.json.decode(msgspec.json.encode(self._tally), type=Tally)
