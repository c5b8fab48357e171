"""The default frontier: one SQLite file, which can be queried with plain SQL.

`SqliteReader` reads it; here it is written.

`url` has one row per URL; `reason` is NULL while it is owed. `host` has the notes of a host, `budget` what was fetched
of its patterns, `outbox` the unacknowledged links to other shards. `meta` has the tally, committed with the rows it
counts. `beyond` has the URLs beyond the depth limit, see beyond.py. A kill loses at most the open batch.

`url.host` is a mark of the host (63 bits of xxh3 with the seed of the crawl: among 10^6 hosts two collide by accident
with a probability of 5e-8, and an attacker does not know the seed). The partial index `owed` is the queue of owed links
per host on disk; settled rows leave it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from crawler.core.messages import Link
from crawler.metrics.counters import Tally
from crawler.storage.database import connect_to_read, storage_errors
from crawler.storage.frontier import beyond
from crawler.storage.frontier.base import Batch
from crawler.storage.frontier.commits import counted
from crawler.storage.frontier.encoding import (
    KEEP_COOKIES,
    NOTE,
    SPENT,
    end_row,
    host_mark,
    note_row,
    spent_rows,
    url_row,
)
from crawler.storage.frontier.meta import keep_manifest, keep_tally
from crawler.storage.frontier.reopened import Reopened
from crawler.storage.frontier.schema import open_file, sealed
from crawler.storage.frontier.sqlite_reader import SqliteReader
from crawler.system.failpoints import passing

ADMITTED = ("id", "url", "host", "depth", "via", "attempts", "status")
ADMIT = f"""INSERT INTO url ({", ".join(ADMITTED)}, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,
    {sealed("url", {name: f"?{place}" for place, name in enumerate(ADMITTED, 1)})})"""
ADMIT_IF_NEW = f"{ADMIT} ON CONFLICT (url) DO NOTHING"
RETRY = f"""UPDATE url SET attempts = ?1, status = ?2,
    checksum = {sealed("url", {"attempts": "?1", "status": "?2"}, "")} WHERE id = ?3"""
ENDED = (
    *("reason", "status", "attempts", "part", "position", "size", "digest", "truncated", "content_type", "settled_at"),
    *("seconds", "detail", "cut", "unread"),
)
SETTLE = f"""UPDATE url SET {", ".join(f"{name} = ?{place}" for place, name in enumerate(ENDED, 1))},
    checksum = {sealed("url", {name: f"?{place}" for place, name in enumerate(ENDED, 1)}, "")}
    WHERE id = ?{len(ENDED) + 1} AND reason IS NULL"""
NOT_FINE = """SELECT {} FROM url WHERE reason IS NOT NULL
    AND (reason NOT IN ('ok', 'redirect') OR truncated IS NOT NULL OR detail IS NOT NULL) ORDER BY id"""
"""The rows that may be reopened: all but plain successes."""
READ_ANEW = "UPDATE host SET robots_until = 0 WHERE host = ? AND robots_until > 0"
WAIT_ANEW = "UPDATE host SET down_for = 0 WHERE host = ? AND down_for > 0"
REOPEN = """UPDATE url SET reason = NULL, status = 0, attempts = 0, part = NULL, position = NULL, size = NULL,
    digest = NULL, truncated = NULL, content_type = NULL, settled_at = NULL, seconds = NULL, detail = NULL,
    cut = 0, unread = NULL WHERE id = ?"""
PASS_ON = "DELETE FROM url WHERE id = ? AND reason IS NULL"
SEND = f"""INSERT OR REPLACE INTO outbox (seq, shard, foreign_link, checksum) VALUES (?1, ?2, ?3,
    {sealed("outbox", {"seq": "?1", "shard": "?2", "foreign_link": "?3"})})"""


class SqliteFrontier(SqliteReader):
    """The frontier of one shard. `read_only` opens the file of a crawl that may be running; `seed` is that of the
    crawl. Reading a damaged row raises Corrupt; a `lenient` frontier ignores checksums and tolerates such rows."""

    def __init__(self, path: Path, read_only: bool = False, seed: int = 0, lenient: bool = False) -> None:
        connection = connect_to_read(path) if read_only else open_file(path)
        try:
            super().__init__(connection, path, seed, lenient)
            self._tally = self.tally()
            if not read_only:
                self._complete_tally()
        except BaseException:
            connection.close()
            raise

    def commit(self, batch: Batch, at: float) -> list[Link]:
        """Store a batch in one transaction."""
        tally = self._copied_tally()
        with counted(self._connection, self._path) as connection:
            connection.executemany(ADMIT, [url_row(it, self._seed) for it in batch.queued])
            new = [
                it for it in batch.undetermined if connection.execute(ADMIT_IF_NEW, url_row(it, self._seed)).rowcount
            ]
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
            connection.executemany(SETTLE, [end_row(it, at) for it in batch.settled])
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

    def admit_within(self, max_depth: int | None) -> int:
        """Admit what is within the limit, in several transactions."""
        total = 0
        while self._tally.too_deep:
            tally = self._copied_tally()
            with counted(self._connection, self._path) as connection:
                gone, admitted = beyond.admit_some(connection, max_depth, lambda host: host_mark(host, self._seed))
                tally.too_deep -= gone
                tally.queued += admitted
                keep_tally(connection, tally)
            self._tally = tally
            total += admitted
            if not gone:
                break
        return total

    def keep_manifest(self, manifest: bytes) -> None:
        """Store a copy of the manifest, from which a lost one can be rebuilt."""
        with counted(self._connection, self._path) as connection:
            keep_manifest(connection, manifest)

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
