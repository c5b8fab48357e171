"""Reads the facts of a crawl that may be live, killed or finished, without touching it."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from math import inf
from pathlib import Path
from time import monotonic, time

from crawler.errors import StorageError, UsageError
from crawler.report import frontier_facts, pace_facts
from crawler.report.facts import Facts
from crawler.report.politeness import audit
from crawler.report.shards import unite
from crawler.report.visits import take_visits
from crawler.storage.database import connect_to_read, storage_errors
from crawler.storage.directory import CrawlDirectory
from crawler.storage.generations import chosen
from crawler.storage.manifest import MANIFEST
from crawler.system.invocation import called

COMPARISON = "session.json"
STEPS = 10_000
"""SQLite VM instructions between two checks of the clock."""


def look(path: Path, generation: int | None = None) -> CrawlDirectory:
    """A generation of the crawl in a directory, the last one for None. Raises UsageError where there is none, with a
    hint where it is a comparison."""
    if not CrawlDirectory.exists(path) and (path / COMPARISON).is_file():
        raise UsageError(
            f"{path} is a comparison, not a crawl; its report is written by: {called()} compare report {path}"
        )
    return CrawlDirectory.open_readonly(chosen(path, generation))


def read(directory: CrawlDirectory, patience: float | None = None) -> Facts:
    """The current facts of a crawl; `patience` is the longest time to spend, in seconds.

    Raises UsageError where the crawl has not begun, StorageError where it cannot be read or the time is up.
    """
    give_up_at = inf if patience is None else monotonic() + patience
    with ExitStack() as stack:
        path, *others = stack.enter_context(directory.frontier_snapshot(give_up_at))
        parts = stack.enter_context(directory.newest_parts())
        stack.enter_context(storage_errors(path))
        connection = stack.enter_context(closing(connect_to_read(path)))
        connection.text_factory = _text
        if patience is not None:
            connection.set_progress_handler(lambda: monotonic() > give_up_at, STEPS)
        unite(connection, others)
        connection.execute("BEGIN")
        try:
            return _facts(directory, connection, parts)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
                raise
            again = f"{called()} report {directory.path}"
            raise StorageError(f"it takes longer than {patience:g} s; write it with: {again}") from None


def _facts(directory: CrawlDirectory, connection: sqlite3.Connection, parts: Path) -> Facts:
    ours = frontier_facts
    visits = take_visits(connection, parts)
    pace_facts.take_fetches(connection)
    return Facts(
        out=str(directory.path),
        command=called(),
        taken_at=time(),
        manifest=directory.manifest,
        tally=ours.tally(connection),
        running=None if directory.ours else directory.lock_owner(),  # our own run is over when it writes its report
        pace=pace_facts.pace(connection),
        fetch_times=pace_facts.percentiles(connection),
        hosts=ours.hosts(connection),
        troubles=ours.troubles(connection),
        broken=ours.broken(connection),
        slowest=ours.slowest(connection),
        largest=ours.largest(connection),
        durations=ours.durations(connection),
        sizes=ours.sizes(connection),
        types=ours.types(connection),
        depths=ours.depths(connection),
        audit=audit(connection, visits, directory.settings),
        files=_files(directory),
    )


def _files(directory: CrawlDirectory) -> tuple[tuple[str, int | None], ...]:
    """The files of a crawl: path below the directory, bytes on disk (None: a folder of many files, not counted)."""
    root = directory.path
    found: list[tuple[str, int | None]] = [(MANIFEST, _size(root / MANIFEST))]
    found += [(str(file.relative_to(root)), _size(file)) for file in directory.frontier_files()]
    if (root / "parts").is_dir():
        parts = sorted((root / "parts").glob("*.sqlite"))
        found.append((f"parts/*.sqlite ({len(parts):,})", sum(_size(part) for part in parts)))
    if (root / "bodies").is_dir():
        found.append(("bodies/", None))
    return tuple(found)


def _size(path: Path) -> int:
    """Size of a file in bytes, 0 where it no longer exists."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _text(raw: bytes) -> str:
    """Decode remote bytes, valid or not."""
    return raw.decode("utf-8", "replace")
