"""The layout of URLs over the files of the shards, and the move of rows where a run needs another layout.

Rules:
- The layout of a run depends on the number of shards and on the settings that let hosts be spread over several (see
  crawler/core/shards/shard.py). Where the manifest names the same, nothing is touched; else every row is checked.
- Copy, commit, then delete, in batches: a kill leaves at worst the same row in two files, and the move is restarted.
  The manifest has `layout` "" before the first row is moved.
- A link in an outbox becomes a row of the shard it belongs to, unless that shard has it.
- An owed link is counted in the file that has it. Other counts stay in their file, because only the sum is reported;
  those of a removed shard move to the first, once: the number of the move is stored beside them.
- Rows in PostgreSQL are moved in copies, which then replace all of them at once.
- A host whose robots.txt is known to ask for no delay is laid out by URL, so that all its shards may start with it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time

import msgspec
from msgspec.structs import replace

from crawler.core.messages import Budget, HostNote, HostPlacement, OutboxLink
from crawler.core.shards.shard import MOST_BY_SLOT, Shard, merge_notes
from crawler.core.traps.domain_limits import HOME
from crawler.core.urls.canonical import host_of
from crawler.settings import Settings
from crawler.storage.database import PRIVATE, storage_errors
from crawler.storage.directory import MOVING, CrawlDirectory
from crawler.storage.frontier import beyond
from crawler.storage.frontier.commits import KEEP, counted
from crawler.storage.frontier.encoding import KEEP_COOKIES, NOTED, SPENT, host_mark, max_budgets, note_row, spent_rows
from crawler.storage.frontier.meta import keep_tally, read_tally
from crawler.storage.frontier.schema import open_file
from crawler.storage.opening import frontier_path
from crawler.system.failpoints import passing

AT_ONCE = 1000
REASON = 7  # its place in a row
COLUMNS = (
    "url, host, depth, via, attempts, status, reason, part, position, size, digest, truncated, content_type,"
    " settled_at, seconds, detail, cut, unread"
)
COPY = f"INSERT OR IGNORE INTO url ({COLUMNS}) VALUES ({', '.join('?' * 18)})"
RECEIVE = "INSERT OR IGNORE INTO url (url, host, depth, via, attempts, status) VALUES (?, ?, ?, ?, ?, ?)"
NOTE = f"INSERT OR REPLACE INTO host ({NOTED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


def ensure_layout(directory: CrawlDirectory, settings: Settings, shards: int) -> None:
    """Move rows to the layout that a run with these settings and this number of shards needs. Raises StorageError."""
    layout = _name(settings, shards)
    if directory.manifest.layout == layout and directory.manifest.shards == shards:
        return
    if not directory.manifest.runs:
        for shard in {*range(shards), *directory.shards_there()}:  # those too that a kill left half made
            directory.frontier(shard).close()
        directory.set_layout(shards, layout)
        return
    for shard in directory.shards_there():
        directory.frontier(shard).close()  # checks the file
    directory.set_layout(shards, "")
    with _rows_in_files(directory, shards) as files:
        Resharder(files, settings, shards).run()
    directory.set_layout(shards, layout)


@contextmanager
def _rows_in_files(directory: CrawlDirectory, shards: int) -> Iterator[CrawlDirectory]:
    """Context manager: the crawl with its rows in files. Rows in PostgreSQL are copied there, and replaced by those of
    the first `shards` files at the end, in one transaction."""
    for left in directory.path.glob(f"{MOVING}*"):
        shutil.rmtree(left, ignore_errors=True)
    rows = directory.postgres
    if rows is None:
        yield directory
        return
    with TemporaryDirectory(prefix=MOVING, dir=directory.path) as folder:
        most = max([shards, *(shard + 1 for shard in rows.shards())])
        files = [frontier_path(Path(folder), shard) for shard in range(most)]
        rows.copy_to(files)
        settings = directory.manifest.settings | {"frontier": Settings().frontier}
        yield CrawlDirectory(Path(folder), replace(directory.manifest, settings=settings), None)
        passing("layout.copied")
        rows.replace_from(files[:shards])


def _name(settings: Settings, shards: int) -> str:
    """The name of a layout, as in the manifest; with the same number of shards, equal names are equal layouts."""
    if shards == 1:
        return "whole"
    name = ("by URL" if settings.robots else "all by URL") if _may_spread(settings, shards) else "by host"
    return name if shards <= MOST_BY_SLOT else f"{name}, jump"


def _may_spread(settings: Settings, shards: int) -> bool:
    return shards > 1 and Shard(0, shards).may_spread(settings.delay, settings.shared_by)


class Resharder:
    """One move of the rows of a crawl to a number of shards."""

    def __init__(self, directory: CrawlDirectory, settings: Settings, shards: int) -> None:
        self._directory = directory
        self._settings = settings
        self._shard = Shard(0, shards)
        self._spreads = _may_spread(settings, shards)
        self._spread: set[str] = set()
        self._files: dict[int, tuple[Path, sqlite3.Connection]] = {}

    def run(self) -> None:
        """Move all rows of all tables. Raises StorageError."""
        with ExitStack() as stack:
            for number in sorted({*self._directory.shards_there(), *range(self._shard.count)}):
                path = frontier_path(self._directory.path, number)
                with storage_errors(path):
                    path.parent.mkdir(PRIVATE, exist_ok=True)
                self._files[number] = path, stack.enter_context(closing(open_file(path)))
            self._move_notes()
            self._share_cookies()
            self._move_budgets()
            for number in self._files:
                self._move_rows(number)
            for number in self._files:
                self._empty_outbox(number)
            for number in self._files:
                self._move_beyond(number)
            for number in self._files:
                self._forget_known(number)
                if number >= self._shard.count:
                    self._merge_tally(number)

    def _home(self, url: str) -> int:
        name = host_of(url)
        return self._shard.owner(url if self._is_spread(name) else name)

    def _is_spread(self, name: str) -> bool:
        return self._spreads and (not self._settings.robots or name in self._spread)

    def _move_notes(self) -> None:
        """Move each note to the owner of its host; merges the notes of several shards."""
        notes: dict[str, HostNote] = {}
        for path, connection in self._files.values():
            with storage_errors(path):
                for host, robots, until, delay, rest_until, joined, _, heard, down_for in connection.execute(
                    f"SELECT {NOTED} FROM host"
                ):
                    note = HostNote(
                        host, robots, until, delay, rest_until, bool(joined), heard=bool(heard), down_for=down_for
                    )
                    notes[note.host] = merge_notes(notes.get(note.host), note)
        now = time()
        for note in notes.values():
            known = note.robots is not None and note.robots_until > now
            may_spread = self._spreads and self._shard.may_spread(note.delay, self._settings.shared_by)
            if may_spread and known and note.rest_until <= now:
                self._spread.add(note.host)
        for number, (path, connection) in self._files.items():
            mine = [note for note in notes.values() if self._shard.owner(note.host) == number]
            with counted(connection, path):
                connection.executemany(NOTE, [self._row(note) for note in mine])
        for number, (path, connection) in self._files.items():
            theirs = [(host,) for host in notes if self._shard.owner(host) != number]
            with counted(connection, path):
                connection.executemany("DELETE FROM host WHERE host = ?", theirs)

    def _share_cookies(self) -> None:
        """Move the cookies of a host to its owner; copy those of a domain to all shards, since its hosts are spread."""
        rows: dict[str, str] = {}
        for path, connection in self._files.values():
            with storage_errors(path):
                rows.update(connection.execute("SELECT home, cookies FROM cookie").fetchall())
        for number, (path, connection) in self._files.items():
            with counted(connection, path):
                connection.execute("DELETE FROM cookie")
                if number < self._shard.count:
                    mine = [row for row in rows.items() if "://." in row[0] or self._shard.owner(row[0]) == number]
                    connection.executemany(KEEP_COOKIES, mine)

    def _row(self, note: HostNote) -> tuple[object, ...]:
        reach = HostPlacement.SHARED if note.host in self._spread else HostPlacement.OWNER
        return note_row(replace(note, reach=reach))

    def _move_budgets(self) -> None:
        """Move the budgets of a host to its owner, or copy them to all shards."""
        budgets: list[Budget] = []
        for path, connection in self._files.values():
            with storage_errors(path):
                rows = connection.execute("SELECT spent FROM budget")
                budgets += [msgspec.json.decode(encoded, type=Budget) for (encoded,) in rows]
        spent = max_budgets(budgets)
        for number, (path, connection) in self._files.items():
            mine = [share for budget in spent.values() if (share := self._share_of(budget, number)) is not None]
            with counted(connection, path):
                connection.executemany(SPENT, spent_rows(mine))
        for number, (path, connection) in self._files.items():
            theirs = [key for key, budget in spent.items() if self._share_of(budget, number) is None]
            with counted(connection, path):
                connection.executemany("DELETE FROM budget WHERE host = ? AND pattern = ?", theirs)

    def _share_of(self, budget: Budget, number: int) -> Budget | None:
        """The budget for a shard, or None. That of a spread host or of a domain is an estimate: all shards get it."""
        if (self._is_spread(budget.host) or budget.host == HOME) and number < self._shard.count:
            return budget
        return budget if self._shard.owner(budget.host) == number else None

    def _move_rows(self, source: int) -> None:
        path, connection = self._files[source]
        for batch in self._misplaced(source):
            for home, rows in batch.items():
                target_path, target = self._files[home]
                with counted(target, target_path):
                    copied = [row for row in rows if target.execute(COPY, row[1:]).rowcount]
                    _count(target, owed=sum(row[REASON] is None for row in copied))
            with counted(connection, path):
                passing("layout.copied")
                moved = [row for rows in batch.values() for row in rows]
                connection.executemany("DELETE FROM url WHERE id = ?", [(row[0],) for row in moved])
                _count(connection, owed=-sum(row[REASON] is None for row in moved))

    def _misplaced(self, source: int) -> Iterator[dict[int, list[sqlite3.Row]]]:
        """Batches of the rows of a shard that belong to others, by target shard, in the order they were admitted."""
        path, connection = self._files[source]
        last = 0
        while True:
            with storage_errors(path):
                query = f"SELECT id, {COLUMNS} FROM url WHERE id > ? ORDER BY id LIMIT ?"
                rows = connection.execute(query, (last, AT_ONCE)).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            homes = sorted(((self._home(row[1]), row) for row in rows), key=lambda pair: pair[0])
            batch = {home: [row for _, row in pairs] for home, pairs in groupby(homes, key=lambda pair: pair[0])}
            batch.pop(source, None)
            if batch:
                yield batch

    def _empty_outbox(self, source: int) -> None:
        """Move unacknowledged links to the shards they belong to, which may already have them."""
        path, connection = self._files[source]
        with storage_errors(path):
            rows = connection.execute("SELECT seq, foreign_link FROM outbox ORDER BY seq").fetchall()
        for seq, encoded in rows:
            foreign = msgspec.json.decode(encoded, type=OutboxLink)
            link = foreign.link
            target_path, target = self._files[self._home(link.url)]
            via = msgspec.json.encode(link.via).decode() if link.via else None
            with counted(target, target_path):
                mark = host_mark(host_of(link.url), self._directory.manifest.seed)
                row = link.url, mark, link.depth, via, link.attempts, link.status
                if foreign.beyond or not (foreign.admitted or self._is_within(link.depth)):
                    _count(target, too_deep=beyond.keep_rows(target, [(link.url, link.depth, via)]))
                else:
                    _count(target, owed=target.execute(RECEIVE, row).rowcount)
            with counted(connection, path):
                connection.execute("DELETE FROM outbox WHERE seq = ?", (seq,))

    def _is_within(self, depth: int) -> bool:
        return self._settings.max_depth is None or depth <= self._settings.max_depth

    def _move_beyond(self, source: int) -> None:
        """Move URLs beyond the depth limit to the shards that would admit them."""
        path, connection = self._files[source]
        last = 0
        while True:
            with storage_errors(path):
                query = "SELECT id, url, depth, via FROM beyond WHERE id > ? ORDER BY id LIMIT ?"
                rows = connection.execute(query, (last, AT_ONCE)).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            homes = sorted(((self._home(row[1]), row) for row in rows), key=lambda pair: pair[0])
            for home, pairs in groupby(homes, key=lambda pair: pair[0]):
                moved = [row for _, row in pairs]
                target_path, target = self._files[home]
                if home == source:
                    continue
                with counted(target, target_path):
                    _count(target, too_deep=beyond.keep_rows(target, [row[1:] for row in moved]))
                with counted(connection, path):
                    passing("layout.copied")
                    _count(connection, too_deep=-beyond.forget(connection, [row[1] for row in moved]))

    def _forget_known(self, source: int) -> None:
        """Remove URLs from `beyond` that are now in `url` too: their rows came from another shard."""
        path, connection = self._files[source]
        with counted(connection, path):
            _count(connection, too_deep=-beyond.forget_known(connection))

    def _merge_tally(self, source: int) -> None:
        """Add the counts of a removed shard to those of the first, once."""
        path, connection = self._files[source]
        first_path, first = self._files[0]
        done = f"tally of shard {source} in move {self._directory.manifest.moves}"
        with storage_errors(path):
            tally = read_tally(connection)
        with counted(first, first_path):
            if first.execute("SELECT 1 FROM meta WHERE key = ?", (done,)).fetchone() is None:
                total = read_tally(first)
                total.merge(tally)
                keep_tally(first, total)
                first.execute(KEEP, (done, ""))
        with counted(connection, path):
            connection.execute("DELETE FROM meta WHERE key = 'tally'")


def _count(connection: sqlite3.Connection, owed: int = 0, too_deep: int = 0) -> None:
    tally = read_tally(connection)
    tally.queued += owed
    tally.too_deep += too_deep
    keep_tally(connection, tally)
