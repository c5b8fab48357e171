"""Repairs a damaged crawl: finds what is damaged, and puts rebuilt files in its place.

Rules:
- It uses the checks of `verify`: where those find nothing it changes nothing, and after a repair they find nothing.
- Parts are rebuilt first (crawler/storage/repair_parts.py), then one frontier from the rows and records that can be
  read (crawler/storage/rebuilt_frontier.py). It is one shard; the next run distributes it as it needs.
- Nothing is deleted: damaged files stay beside the new ones, as `.broken`. An interrupted repair may be started again.
- A lost manifest is rebuilt first, from its copies in the frontiers.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec

from crawler.errors import Corrupt, UsageError
from crawler.settings.places import S3
from crawler.storage.database import PRIVATE, storage_errors, transaction
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier import commits
from crawler.storage.frontier.schema import open_file
from crawler.storage.integrity import frontier_faults
from crawler.storage.opening import FRONTIER, frontier_path
from crawler.storage.rebuilt_frontier import RebuiltFrontier
from crawler.storage.repair_parts import NEW, Records, read_records, rebuild_parts, replace, set_aside
from crawler.storage.verify import Audit, audit


class Repaired(msgspec.Struct, kw_only=True):
    """The result of a repair. `kept` settled rows are unchanged, `recovered` were rebuilt from records, `owed` URLs are
    to be fetched, `again` of them had been settled; `broken` files were replaced."""

    out: str
    rebuilt: bool = False
    broken: list[str] = msgspec.field(default_factory=list)
    kept: int = 0
    recovered: int = 0
    again: int = 0
    owed: int = 0
    records: int = 0


def repair(directory: CrawlDirectory, lost_manifest: bool = False) -> Repaired:
    """Repair a damaged crawl; this process must hold its lock. `lost_manifest`: the manifest had to be rebuilt.

    Raises UsageError where it has not begun, or where its URLs or pages are not files; StorageError.
    """
    if directory.postgres is not None or directory.settings.store.startswith(S3):
        raise UsageError(
            f"{directory.path} keeps its URLs or pages in a database or an object store, which have backups of"
            " their own: restore those, then verify it"
        )
    done = Repaired(out=str(directory.path), rebuilt=lost_manifest)
    shards = sorted({*range(directory.manifest.shards), *directory.shards_there()})
    frontiers = [frontier_path(directory.path, shard) for shard in shards]
    needed = lost_manifest or directory.manifest.layout != ""
    missing = [path for path in frontiers if needed and not path.exists()]
    found = _found(directory)
    store = directory.store()
    if found is not None and not found.wrong and not missing:
        done.records = found.pages + found.orphans
        done.owed = directory.tally().owed
        return done
    done.rebuilt = True
    for path in rebuild_parts(store, directory.part_files()):
        done.broken.append(f"parts/{path.name}")
    records = read_records(store)
    done.records = len(records)
    seed = directory.manifest.seed
    damaged = [path for path in frontiers if path.exists() and any(frontier_faults(path, seed, False))]
    lost = bool(damaged or missing or _rows_are_missing(directory))
    _rebuild_frontier(directory, frontiers, records, lost, done)
    done.broken += [str(path.relative_to(directory.path)) for path in frontiers if path in damaged]
    return done


def _found(directory: CrawlDirectory) -> Audit | None:
    """The result of `audit`; None where the frontier cannot be read at all."""
    try:
        return audit(directory)
    except Corrupt:
        return None


def _rows_are_missing(directory: CrawlDirectory) -> bool:
    """Whether there are fewer rows than URLs were admitted."""
    try:
        with closing(directory.open_frontiers(lenient=True)) as frontier:
            return frontier.count() != frontier.tally().queued
    except Corrupt:
        return True


def _rebuild_frontier(
    directory: CrawlDirectory, frontiers: list[Path], records: Records, lost: bool, done: Repaired
) -> None:
    """Replace all frontiers by one new file. `lost`: rows may be missing."""
    target = frontier_path(directory.path, 0)
    beside = target.with_name(FRONTIER + NEW)
    beside.unlink(missing_ok=True)
    with storage_errors(target):
        target.parent.mkdir(PRIVATE, exist_ok=True)
    with closing(open_file(beside)) as connection, transaction(connection, beside):
        frontier = RebuiltFrontier(connection, directory, records, lost)
        frontier.take_rows(frontiers)
        if lost:
            frontier.take_records()
            frontier.take_links()
        frontier.count(frontiers)
    done.kept, done.recovered = frontier.kept, frontier.recovered
    done.owed, done.again = frontier.owed, frontier.again
    commits.forget(target)
    replace(target, beside)
    for path in frontiers:
        if path != target and path.exists():
            commits.forget(path)
            set_aside(path)
    directory.set_layout(1, "whole")
