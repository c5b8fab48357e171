"""Drops the oldest generations of a crawl directory and frees their space, without harm to later ones.

Rules:
- Generations in which nothing could be fetched do not count: a site that was down for a week does not cost the version
  that was good.
- A file `dropped` in its folder ends a generation. Then its frontiers go, and every record that nothing needs. Each
  step may be repeated after a kill; the next call does what is left.
- A record is needed by a row of a later generation that names it, by a record there whose body it has, and by what is
  known of its page (crawler/storage/known_pages.py). It stays in its place, so no name changes.
- Rows in PostgreSQL go as a frontier does, and records in an object store as those in parts.
- The file of a part is rewritten where a quarter of it is free: SQLite gives no space back otherwise.
- Memory: about 200 bytes for each page that is needed of dropped generations.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from crawler.core.reasons import Ending
from crawler.storage.database import connect, connect_to_read, storage_errors
from crawler.storage.directory import DIFF_REPORT, REPORT, CrawlDirectory
from crawler.storage.generations import (
    DROPPED,
    GENERATIONS,
    KNOWN,
    folder_of,
    generations,
)
from crawler.storage.opening import in_bucket
from crawler.storage.pages.record import BODIES, SCHEMA

SWEPT = "swept"
FREE_SHARE = 0.25
ROWS = "SELECT part, position, url FROM url WHERE instr(part, '/')"
KNOWN_RECORDS = "SELECT part, position, body, url FROM page"
Needed = dict[int, dict[str, dict[int, str]]]
"""The records that are needed: their URLs by generation, part and position."""


def keep_last(root: Path, count: int) -> list[int]:
    """Keep the last `count` generations that fetched something, and all after the first of them; drop the others. The
    lock of the directory must be held. Returns the numbers of those that were dropped. Raises StorageError."""
    there = generations(root)
    good = [number for number in there if not _failed(root, number)]
    oldest = good[-count] if len(good) > count else there[0]
    dropped = [number for number in there if number < oldest]
    for number in dropped:
        with storage_errors(folder_of(root, number)):
            (folder_of(root, number) / DROPPED).touch()
    if any((folder_of(root, number) / DROPPED).read_text() != SWEPT for number in dropped_of(root)):
        _free(root)
    return dropped


def dropped_of(root: Path) -> list[int]:
    """The generations that were dropped, oldest first."""
    later = (root / GENERATIONS).glob(f"*/{DROPPED}")
    found = sorted(int(path.parent.name) for path in later if path.parent.name.isdecimal())
    return [0, *found] if (root / DROPPED).exists() else found


def _failed(root: Path, number: int) -> bool:
    tally = CrawlDirectory.open_readonly(folder_of(root, number)).tally()
    return tally.conclude().ending is Ending.FAILED


def _free(root: Path) -> None:
    """Remove what nothing needs of the dropped generations, the last of them first: a record that stays may have its
    body in an earlier one."""
    needed: Needed = {}
    for number in generations(root):
        _add_needs(CrawlDirectory.open_readonly(folder_of(root, number)), needed)
    if (root / KNOWN).exists():
        _add_known(root / KNOWN, needed)
    for number in reversed(dropped_of(root)):
        folder = folder_of(root, number)
        with storage_errors(folder):
            for shard in sorted(folder.glob("shard-*")):
                shutil.rmtree(shard)
            for name in (REPORT, DIFF_REPORT):
                (folder / name).unlink(missing_ok=True)
        directory = CrawlDirectory.open_readonly(folder)
        if directory.postgres is not None:
            directory.postgres.remove()
        store = directory.store()
        kept = needed.get(number, {})
        store.sweep({part: kept.get(part, {}) for part in store.parts()})
        for path in directory.part_files():
            _shrink(path)
        _add_bodies(directory, needed)
        with storage_errors(folder):
            (folder / DROPPED).write_text(SWEPT)


def _add_needs(directory: CrawlDirectory, needed: Needed) -> None:
    """Add the records of other generations that a generation names."""
    with directory.frontier_snapshot() as files:
        for path in files:
            with closing(connect_to_read(path)) as connection, storage_errors(path):
                for part, position, url in connection.execute(ROWS):
                    _add(needed, part, position, url)
    _add_bodies(directory, needed)


def _add_bodies(directory: CrawlDirectory, needed: Needed) -> None:
    """Add the records that have the bodies of the pages of a generation."""
    pages = in_bucket(directory.access, directory.path, directory.manifest.seed)
    if pages is not None:
        for file, url in pages.bodies_elsewhere():
            _add_record(needed, file, url)
    for path in directory.part_files():
        with closing(connect_to_read(path)) as connection, storage_errors(path):
            for file, url in connection.execute(BODIES):
                _add_record(needed, file, url)


def _add_known(path: Path, needed: Needed) -> None:
    with closing(connect_to_read(path)) as connection, storage_errors(path):
        for part, position, body, url in connection.execute(KNOWN_RECORDS):
            _add(needed, part, position, url)
            _add_record(needed, body, url)


def _add_record(needed: Needed, record: str, url: str) -> None:
    """Add the record "N/PART:POSITION"."""
    part, _, position = record.rpartition(":")
    _add(needed, part, int(position), url)


def _add(needed: Needed, part: str, position: int, url: str) -> None:
    number, _, name = part.partition("/")
    needed.setdefault(int(number), {}).setdefault(name, {})[position] = url


def _shrink(path: Path) -> None:
    """Give the free space of a part back, where that is worth rewriting it. Raises StorageError."""
    with closing(connect(path, SCHEMA)) as connection, storage_errors(path):
        free = connection.execute("PRAGMA freelist_count").fetchone()[0]
        if free > FREE_SHARE * connection.execute("PRAGMA page_count").fetchone()[0]:
            connection.execute("VACUUM")
