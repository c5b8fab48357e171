"""Repairs the parts of a store: reads their intact records, and writes new files for damaged ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from crawler.storage.database import connect, row_checksum, storage_errors, to_sql_text, transaction
from crawler.storage.directory import BROKEN, free_name
from crawler.storage.integrity import part_faults
from crawler.storage.pages.base import Page, Store
from crawler.storage.pages.files import FilesStore
from crawler.storage.pages.record import FACTS, INSERT, PAGE_SIZE, SCHEMA
from crawler.storage.recovery import readable_rows
from crawler.storage.verify import term_of

NEW = ".new"


class Record(NamedTuple):
    """The fields of an intact record; `size` of its body in bytes, `fetched_at` in Unix time."""

    url: str
    status: int
    size: int
    digest: bytes
    truncated: str
    content_type: str
    fetched_at: float


Records = dict[tuple[str, int], Record]


def whole_records(store: Store, part: str) -> Iterator[tuple[int, Page]]:
    """The intact records of a part, by position: their checksum and digest match."""
    for position, page in store.records(part):
        if page is not None and page.digest == term_of(page):
            yield position, page


def record_of(page: Page) -> Record:
    """The fields of an intact record."""
    facts = page.digest, page.truncated, page.content_type, page.fetched_at
    return Record(page.url, page.status, len(page.body), *facts)


def read_records(store: Store) -> Records:
    """All intact records of a store, by (part, position)."""
    found: Records = {}
    for part in store.parts():
        for position, page in whole_records(store, part):
            found[part, position] = record_of(page)
    return found


def rebuild_parts(store: Store, paths: list[Path]) -> list[Path]:
    """Rewrite those of these files that have damage, without the damaged records; returns them. Raises StorageError."""
    if isinstance(store, FilesStore):
        store.set_damaged_aside()
    broken = []
    for path in paths:
        whole = {position for position, _ in whole_records(store, path.stem)}
        every = sum(1 for _ in store.records(path.stem))
        if any(part_faults(path)) or len(whole) < every:
            _rebuild(path, whole)
            broken.append(path)
    return broken


def _rebuild(path: Path, whole: set[int]) -> None:
    beside = path.with_name(path.name + NEW)
    beside.unlink(missing_ok=True)
    with closing(connect(beside, SCHEMA, PAGE_SIZE)) as part, transaction(part, beside):
        for position, *row in readable_rows(path, "page", "position", f"{', '.join(FACTS[1:])}, body"):
            if position in whole:
                facts = (position, *(to_sql_text(value) if isinstance(value, str) else value for value in row[:-1]))
                part.execute(INSERT, (*facts, row[-1], row_checksum(*facts)))
    replace(path, beside)


def replace(path: Path, beside: Path) -> None:
    """Put a new file in the place of an old one, which is set aside. Raises StorageError."""
    with storage_errors(path):
        if path.exists():
            set_aside(path)
        beside.replace(path)


def set_aside(path: Path) -> None:
    """Rename a file and its WAL. The WAL goes first: SQLite would apply it to a new file of that name."""
    aside = free_name(path.with_name(path.name + BROKEN))
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
