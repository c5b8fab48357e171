"""Rebuilds a damaged crawl from what is left of it: the rows of its frontiers, the records of its parts.

Rules:
- What cannot be trusted is owed again, never made up: a settled row counts if the record that it names can be read and
  gives its digest, a whole record without a row counts as settled.
- Where rows of a frontier were lost, so may be links. All bodies are read again for theirs, and what has no body to
  read (a redirect, a page that was not kept) is owed again. How deep a link lies is then known as far as rows say.
- What hosts were asked for and the cookies that they set are kept as far as they can be read. Of two jars of a
  home the last counts; a host whose account is lost gets another.
- Nothing is deleted: damaged files stay beside the new ones, as `.broken`. An interrupted repair may be begun again.
- The rebuilt frontier is one shard; the next run lays it out as it needs.
- Where nothing is wrong nothing is touched.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from crawler.audit import readable
from crawler.core.digest import term
from crawler.core.links import page_headers, read_page
from crawler.core.messages import Budget, Cookie, Foreign, Reach, Reason, Settled
from crawler.core.scope import Scope
from crawler.core.spelling import speller
from crawler.core.urls import Resolver, canonical, host_of
from crawler.database import connect, storage_errors, transaction
from crawler.directory import FRONTIER, CrawlDirectory, frontier_path, is_whole
from crawler.frontier.sqlite import KEEP_COOKIES, NOTE, NOTED, SCHEMA, SPENT, host_mark, keep_tally, largest, spent_rows
from crawler.job import open_scope
from crawler.salvage import first_rows
from crawler.salvage import rows as salvage
from crawler.stats import Tally
from crawler.store.base import Page, Store
from crawler.store.sqlite import COLUMNS, PAGE_SIZE
from crawler.store.sqlite import SCHEMA as PART

ROW = (
    "url, depth, via, attempts, status, reason, part, position, size, digest, truncated, content_type, settled_at,"
    " seconds, detail"
)
KEEP = f"INSERT INTO url (host, {ROW}) VALUES ({', '.join('?' * 16)}) ON CONFLICT (url) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in ROW.split(", ")[1:]
)
PAGE = COLUMNS.replace("truncated", "length, truncated")
KEEP_PAGE = f"INSERT OR IGNORE INTO page (position, {PAGE}) VALUES ({', '.join('?' * (PAGE.count(',') + 2))})"
OWE = "INSERT OR IGNORE INTO url (url, host, depth) VALUES (?, ?, ?)"
SETTLED = (
    "SELECT url, reason, status, attempts, size, digest, part, position,"
    " coalesce(truncated, '') FROM url WHERE reason NOTNULL"
)
UNKNOWN_DEPTH = 1
REDIRECTS = {reason for reason in Reason if reason.value.startswith("redirect")}
NEW, BROKEN = ".new", ".broken"


class Record(NamedTuple):
    """What a whole record says of its URL; `size` of its body in bytes."""

    url: str
    status: int
    size: int
    digest: bytes
    truncated: str
    content_type: str
    fetched_at: float


Records = dict[tuple[str, int], Record]


class Repaired(msgspec.Struct, kw_only=True):
    """What was found and done. `kept` settled rows stand as they were, `recovered` were rebuilt from records, `owed`
    URLs are to be fetched, `again` of them had been settled; `broken` files were replaced."""

    out: str
    rebuilt: bool = False
    broken: list[str] = msgspec.field(default_factory=list)
    kept: int = 0
    recovered: int = 0
    again: int = 0
    owed: int = 0
    records: int = 0


def repair(directory: CrawlDirectory) -> Repaired:
    """Make a crawl whole again that is not; it must be opened to work on it. Raises StorageError."""
    done = Repaired(out=str(directory.path))
    for path in sorted((directory.path / "parts").glob("*.sqlite")):
        if not is_whole(path):
            _rebuild_part(path, done)
    records = _records(directory.store())
    done.records = len(records)
    shards = sorted({*range(directory.manifest.shards), *directory.shards_there()})
    frontiers = [frontier_path(directory.path, shard) for shard in shards]
    damaged = [path for path in frontiers if not is_whole(path)]
    if not damaged and all(named in records for path in frontiers for named in _named(path)):
        return done
    done.rebuilt = True
    _rebuild_frontier(directory, frontiers, records, bool(damaged), done)
    done.broken += [str(path.relative_to(directory.path)) for path in frontiers if path in damaged]
    return done


# ---- parts -----------------------------------------------------------------------------------------------------------


def _rebuild_part(path: Path, done: Repaired) -> None:
    beside = path.with_name(path.name + NEW)
    beside.unlink(missing_ok=True)
    with closing(connect(beside, PART, PAGE_SIZE)) as part, transaction(part, beside):
        part.executemany(KEEP_PAGE, salvage(path, "page", "position", PAGE))
    _replace(path, beside)
    done.broken.append(f"parts/{path.name}")


def _records(store: Store) -> Records:
    """Every record that can be read and is what it was."""
    found: Records = {}
    for part in store.parts():
        for position, page in readable(store, part):
            if page.digest == term(page.url, page.status, page.body):
                facts = page.digest, page.truncated, page.content_type, page.fetched_at
                found[part, position] = Record(page.url, page.status, len(page.body), *facts)
    return found


# ---- the frontier ----------------------------------------------------------------------------------------------------


def _rebuild_frontier(
    directory: CrawlDirectory, frontiers: list[Path], records: Records, lost: bool, done: Repaired
) -> None:
    """One new frontier in place of all that there were. `lost`: rows may be missing."""
    target = frontier_path(directory.path, 0)
    beside = target.with_name(FRONTIER + NEW)
    beside.unlink(missing_ok=True)
    with storage_errors(target):
        target.parent.mkdir(exist_ok=True)
    with closing(connect(beside, SCHEMA)) as connection, transaction(connection, beside):
        frontier = _Rebuilt(connection, directory, records, lost, done)
        frontier.take_rows(frontiers)
        if lost:
            frontier.take_records()
            frontier.take_links()
        frontier.count()
    _replace(target, beside)
    for path in frontiers:
        if path != target and path.exists():
            _set_aside(path)
    directory.lay_out(1, "whole")


class _Rebuilt:
    """The new frontier while it is being filled."""

    def __init__(
        self, connection: sqlite3.Connection, directory: CrawlDirectory, records: Records, lost: bool, done: Repaired
    ) -> None:
        self._connection = connection
        self._directory = directory
        self._seed = directory.manifest.seed
        self._settings = directory.settings
        self._scope: Scope = open_scope(self._settings)
        self._seeds = {canonical(url) for url in self._settings.seeds}
        self._records = records
        self._lost = lost
        self._done = done

    def take_rows(self, frontiers: list[Path]) -> None:
        """What is left of the old ones: URLs, notes of hosts, links that were on their way."""
        for path in frontiers:
            for _, url, *row in salvage(path, "url", "id", ROW):
                if isinstance(url, str) and canonical(url) == url:
                    self._take_row(url, row)
            for note in first_rows(path, f"SELECT {NOTED} FROM host"):
                self._connection.execute(NOTE, (*note[:-1], Reach.OWNER))
            for _, encoded in salvage(path, "outbox", "seq", "foreign_link"):
                with suppress(msgspec.DecodeError):
                    link = msgspec.json.decode(str(encoded), type=Foreign).link
                    self._owe(link.url, link.depth)
        self._take_accounts(frontiers)

    def _take_accounts(self, frontiers: list[Path]) -> None:
        budgets: list[Budget] = []
        for path in frontiers:
            for (encoded,) in first_rows(path, "SELECT spent FROM budget"):
                with suppress(msgspec.DecodeError):
                    budgets.append(msgspec.json.decode(str(encoded), type=Budget))
            for home, cookies in first_rows(path, "SELECT home, cookies FROM cookie"):
                with suppress(msgspec.DecodeError):
                    msgspec.json.decode(str(cookies), type=tuple[Cookie, ...])
                    self._connection.execute(KEEP_COOKIES, (home, cookies))
        self._connection.executemany(SPENT, spent_rows(largest(budgets).values()))

    def _take_row(self, url: str, row: list[Any]) -> None:
        depth, _, _, status, reason, part, position, *_ = row
        stands = reason in {it.value for it in Reason}
        if stands and part:
            record = self._records.get((part, position))
            stands = record is not None and record.url == url
        elif stands and self._lost:
            unread = self._settings.follow_errors and status >= 400
            stands = reason not in REDIRECTS and not 200 <= status <= 299 and not unread
        if stands:
            self._connection.execute(KEEP, (self._mark(url), url, *row))
            self._done.kept += 1
        else:
            self._owe(url, depth if isinstance(depth, int) else UNKNOWN_DEPTH)
            self._done.again += reason is not None

    def take_records(self) -> None:
        """Pages that no row names any more. One that was cut by the network would have been tried again."""
        for (part, position), page in self._records.items():
            known = self._connection.execute("SELECT reason, depth FROM url WHERE url = ?", (page.url,)).fetchone()
            if (known and known[0]) or page.truncated in ("time", "disconnect") or canonical(page.url) != page.url:
                continue
            depth = known[1] if known else 0 if page.url in self._seeds else UNKNOWN_DEPTH
            reason = Reason.OK if 200 <= page.status <= 299 else Reason.REDIRECT_INVALID
            row = (page.url, depth, None, 1, page.status, reason.value, part, position, page.size)
            rest = (page.digest, page.truncated or None, page.content_type or None, page.fetched_at, 0.0, None)
            self._connection.execute(KEEP, (self._mark(page.url), *row, *rest))
            self._done.recovered += 1

    def take_links(self) -> None:
        """The links of all bodies: some may have had no row but one that was lost."""
        for (url,) in self._connection.execute("SELECT url FROM url").fetchall():
            self._scope.join(host_of(url))  # whatever was admitted was in scope
        store, resolver = self._directory.store(), Resolver(self._scope.admits_path, respell=speller(self._settings))
        most = self._settings.max_depth
        for part in store.parts():
            for position, page in readable(store, part):
                if (part, position) not in self._records:
                    continue
                query = "SELECT depth FROM url WHERE part = ? AND position = ?"
                named = self._connection.execute(query, (part, position)).fetchone()
                if named and (most is None or named[0] < most):
                    for link in _links(page, self._settings, resolver):
                        if self._scope.admits_host(host_of(link)):
                            self._owe(link, named[0] + 1)

    def _owe(self, url: str, depth: int) -> None:
        self._connection.execute(OWE, (url, self._mark(url), depth))

    def _mark(self, url: str) -> int:
        return host_mark(host_of(url), self._seed)

    def count(self) -> None:
        """The tally is what the rows add up to."""
        tally = Tally()
        queued = self._connection.execute("SELECT count(*) FROM url").fetchone()[0]
        settled = (
            Settled(
                0, url, Reason(reason), status, attempts, size or 0, digest or b"", part or "", position or 0, cut or ""
            )
            for url, reason, status, attempts, size, digest, part, position, cut in self._connection.execute(SETTLED)
        )
        tally.add(queued, settled, 0, 0, 0)
        keep_tally(self._connection, tally)
        self._done.owed = tally.owed


def _links(page: Page, settings: Any, resolver: Resolver) -> tuple[str, ...]:
    return read_page(page.body, page.url, page_headers(page.headers), settings, resolver, True).links


def _named(path: Path) -> Iterator[tuple[str, int]]:
    """The records that the rows of a whole frontier name."""
    for _, part, position in salvage(path, "url", "id", "part, position"):
        if part:
            yield str(part), int(str(position))


# ---- files -----------------------------------------------------------------------------------------------------------


def _replace(path: Path, beside: Path) -> None:
    """Put a new file in the place of an old one, which is kept."""
    with storage_errors(path):
        if path.exists():
            _set_aside(path)
        beside.replace(path)


def _set_aside(path: Path) -> None:
    """Rename a file and its log. The log goes first: beside another file it would be taken for that one's."""
    number = 0
    while path.with_name(f"{path.name}{BROKEN}{number or ''}").exists():
        number += 1
    aside = path.with_name(f"{path.name}{BROKEN}{number or ''}")
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
