"""Reads the crawl directory of a run: its URLs, errors, hosts and files, its report and its export.

Rules:
- Nothing is kept and nothing is counted here: everything is what `storage` and `report` read from the directory, also
  while the run goes on in its own process.
- Every answer has a bound: rows of a page, rows that a filter looks at for it, seconds that a report may take.
- A cursor names the last row of a page, so a page costs the same wherever it is.
- These functions block. A route calls them on a thread (routes/reading.py), one reading after another in each thread,
  because connections of SQLite stay in theirs.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from crawler.errors import StorageError, UsageError
from crawler.report import frontier_facts
from crawler.report.broken_links import search
from crawler.report.facts import TroubleFacts
from crawler.report.page import page
from crawler.report.reading import STEPS, read
from crawler.report.shards import unite
from crawler.service.errors import Conflict, Invalid
from crawler.service.records import Listing
from crawler.storage.database import connect_to_read, storage_errors
from crawler.storage.directory import CrawlDirectory
from crawler.storage.export import COLUMNS, NUMBERS, Cell, as_csv, as_jsonl, fields_of, records
from crawler.storage.generations import DROPPED
from crawler.storage.row_filter import RowCondition, condition
from crawler.storage.stored_crawl import StoredCrawl

if TYPE_CHECKING:
    import sqlite3

MOST_LOOKED_AT = 20_000
"""Rows that a filter looks at for one page of a list; the cursor goes on from there."""
MOST_CONDITIONS = 10
MOST_FILES = 1000
PATIENCE = 10.0
"""Seconds that aggregates over all URLs of a crawl may take."""
POSITION = re.compile(r"(\d{1,6})\.(\d{1,18})", re.ASCII)
PLACE = re.compile(r"\d{1,9}", re.ASCII)
HOSTS = """SELECT per_host.name, urls, fetched, failed, owed, size, seconds, max(host.delay), max(host.rest_until)
    FROM per_host LEFT JOIN host ON host.host = per_host.name GROUP BY per_host.name
    ORDER BY urls DESC, per_host.name LIMIT ? OFFSET ?"""


class HostOfRun(msgspec.Struct, frozen=True):
    """One host of a crawl: its URLs, those fetched, fetched but not ok, owed; bytes stored; seconds of all its fetches.
    `delay`: seconds between two fetches, `rest_until`: Unix time before which it is not asked; None where not known."""

    host: str
    urls: int
    fetched: int
    failed: int
    owed: int
    bytes: int
    seconds: float
    delay: float | None
    rest_until: float | None


class UrlListing(msgspec.Struct, frozen=True):
    """A page of URLs, with the COLUMNS of an export; `next` as in every list."""

    items: list[dict[str, Cell]]
    next: str | None = None


class StoredFile(msgspec.Struct, frozen=True):
    """A file of a crawl directory, named below it, and its bytes."""

    name: str
    bytes: int


def open_crawl(path: Path) -> CrawlDirectory:
    """The crawl of a run. Raises Conflict where it has none (not yet, or no more), Corrupt."""
    if not CrawlDirectory.exists(path):
        raise Conflict("this run has no crawl directory: it has not begun, or retention has removed it", "no_directory")
    if (path / DROPPED).exists():
        raise Conflict("the generation of this run was dropped to save room; its summary is kept", "no_directory")
    crawl = CrawlDirectory.open_readonly(path)
    if not crawl.shards_there():
        raise Conflict("this run has not fetched anything yet; ask again", "no_directory")
    return crawl


def urls(path: Path, where: Sequence[str], cursor: str | None, limit: int) -> UrlListing:
    """A page of the settled URLs that meet all conditions, with the COLUMNS of an export. Raises Invalid, Conflict,
    StorageError."""
    conditions = _conditions(where)
    shard, after = _position(cursor)
    crawl = open_crawl(path)
    looked_at, found = 0, list[dict[str, Cell]]()
    openers = crawl.shard_openers()
    for number in range(shard, len(openers)):
        with closing(openers[number]()) as reader:
            for row in reader.settled_after(after):
                if len(found) >= limit or looked_at >= MOST_LOOKED_AT:
                    return UrlListing(found, f"{number}.{after}")
                looked_at, after = looked_at + 1, row.id
                cells = {name: cell(row) for name, cell in COLUMNS.items()}
                if all(one.holds(cells) for one in conditions):
                    found.append(cells)
        after = 0
    return UrlListing(found)


def causes(path: Path) -> Listing[TroubleFacts]:
    """The kinds of errors with an example each, the most frequent first. Raises Conflict, StorageError."""
    with _snapshot(open_crawl(path)) as connection:
        return Listing(list(frontier_facts.troubles(connection)))


def hosts(path: Path, cursor: str | None, limit: int) -> Listing[HostOfRun]:
    """A page of the hosts, those with most URLs first. Raises Invalid, Conflict, StorageError."""
    if cursor is not None and not PLACE.fullmatch(cursor):
        raise Invalid("cursor", "this is no cursor of this list; use `next` of the page before")
    start = int(cursor or 0)
    with _snapshot(open_crawl(path)) as connection:
        frontier_facts.hosts(connection)  # makes the table per_host
        rows = connection.execute(HOSTS, (limit + 1, start)).fetchall()
    return Listing([HostOfRun(*row) for row in rows[:limit]], str(start + limit) if len(rows) > limit else None)


def files(path: Path) -> Listing[StoredFile]:
    """The files of a crawl, the first MOST_FILES in the order of their names. Raises Conflict, StorageError."""
    crawl = open_crawl(path)
    found = list[StoredFile]()
    with storage_errors(crawl.path):
        for one in crawl.path.rglob("*"):
            with suppress(FileNotFoundError):  # the run has just removed it
                if stat.S_ISREG((about := one.lstat()).st_mode):
                    found.append(StoredFile(str(one.relative_to(crawl.path)), about.st_size))
            if len(found) >= MOST_FILES:
                break
    return Listing(sorted(found, key=lambda one: one.name))


def report(path: Path) -> str:
    """The report of a crawl as HTML, also while it runs. Raises Conflict, StorageError."""
    import variants

    crawl = open_crawl(path)
    try:
        client = variants.client_of(crawl.settings)
    except (UsageError, ImportError):
        client = "unknown"
    return page(search(read(crawl, PATIENCE), crawl, PATIENCE), client)


def export_lines(path: Path, kind: str, fields: str | None, where: Sequence[str]) -> Iterator[str]:
    """The lines of an export as `jsonl` or `csv`. What cannot be used is refused at once, not at the first line. Raises
    Invalid, Conflict, StorageError."""
    try:
        names = fields_of(fields, bodies=False)
    except UsageError as error:
        raise Invalid("fields", str(error).removeprefix("--fields: ")) from None
    conditions = _conditions(where)
    return _lines(open_crawl(path), kind, names, conditions)


def _lines(
    crawl: CrawlDirectory, kind: str, names: tuple[str, ...], conditions: Sequence[RowCondition]
) -> Iterator[str]:
    with StoredCrawl(crawl) as stored:
        rows = records(stored, names, conditions)
        yield from as_csv(rows, names) if kind == "csv" else as_jsonl(rows)


def _conditions(where: Sequence[str]) -> list[RowCondition]:
    if len(where) > MOST_CONDITIONS:
        raise Invalid("where", f"there are more than {MOST_CONDITIONS} conditions")
    try:
        return [condition(text, COLUMNS, NUMBERS) for text in where]
    except UsageError as error:
        raise Invalid("where", str(error).replace("--where", "where")) from None


def _position(cursor: str | None) -> tuple[int, int]:
    if cursor is None:
        return 0, 0
    match = POSITION.fullmatch(cursor)
    if match is None:
        raise Invalid("cursor", "this is no cursor of this list; use `next` of the page before")
    return int(match[1]), int(match[2])


@contextmanager
def _snapshot(crawl: CrawlDirectory) -> Iterator[sqlite3.Connection]:
    """All frontiers of a crawl as they are at one moment. Raises StorageError, also where PATIENCE is over."""
    import sqlite3

    give_up_at = monotonic() + PATIENCE
    with ExitStack() as stack:
        first, *others = stack.enter_context(crawl.frontier_snapshot(give_up_at))
        stack.enter_context(storage_errors(first))
        connection = stack.enter_context(closing(connect_to_read(first)))
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.set_progress_handler(lambda: monotonic() > give_up_at, STEPS)
        unite(connection, others)
        connection.execute("BEGIN")
        try:
            yield connection
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
                raise
            raise StorageError(f"the crawl is too large to be read in {PATIENCE:g} s; use the export") from None
