"""Reads what a run that crawled again has changed, against the generation before its own.

Rules:
- It is what `crawler diff` tells: crawler/storage/diff.py compares, nothing is decided here.
- The generation before is the last one that is kept. Where there is none, or this one is gone, there is nothing to
  compare: Conflict.
- Comparing takes PATIENCE seconds at most, lists end at a limit, and a text has its own (core/changes/page_facts.py).
- These functions block, as those of crawl_reader.py do.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from crawler.errors import UsageError
from crawler.service.crawl_reader import open_crawl
from crawler.service.errors import Conflict, NotFound
from crawler.storage.diff import (
    ChangedPage,
    GenerationDiff,
    GonePage,
    MovedPage,
    UncertainPage,
    Unchanged,
    diff,
    diff_of_text,
    pair,
)
from crawler.storage.generations import number_of, root_of
from crawler.system.text import escape_unprintable

PATIENCE = 10.0
NOTHING = "nothing_to_compare"


class DiffCounts(msgspec.Struct, frozen=True):
    """How many pages are new, gone, changed, moved and unchanged, and how many URLs are uncertain."""

    new: int
    gone: int
    changed: int
    moved: int
    uncertain: int
    unchanged: int


class RunDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from generation `from` to `to`, with the keys of `crawler diff --json`. Lists end at the limit that
    was asked for, `counts` do not. `complete`: the later one read all links, so that what it did not meet is gone.
    `urls` were fetched in it, `bytes_saved` of bodies not sent again; `not_asked` pages were left out by `revisit`, so
    whether they changed is not known; `ended_at`: the last fetch of both."""

    older: int = msgspec.field(name="from")
    newer: int = msgspec.field(name="to")
    counts: DiffCounts
    new: list[str]
    gone: list[GonePage]
    changed: list[ChangedPage]
    moved: list[MovedPage]
    uncertain: list[UncertainPage]
    unchanged: Unchanged
    urls: int
    bytes_saved: int
    not_asked: int
    complete: bool
    ended_at: tuple[float, float]


def compare(path: Path) -> GenerationDiff:
    """The changes of the generation in `path`. Raises Conflict, StorageError."""
    older, newer = _generations(path)
    return diff(root_of(path), older, newer, PATIENCE)


def run_diff(path: Path, limit: int) -> RunDiff:
    """The changes of the generation in `path`, `limit` of each kind. Raises Conflict, StorageError."""
    found = compare(path)
    return RunDiff(
        older=found.older,
        newer=found.newer,
        counts=counts_of(found),
        new=found.new[:limit],
        gone=found.gone[:limit],
        changed=found.changed[:limit],
        moved=found.moved[:limit],
        uncertain=found.uncertain[:limit],
        unchanged=found.unchanged,
        urls=found.urls,
        bytes_saved=found.bytes_saved,
        not_asked=found.not_asked,
        complete=found.complete,
        ended_at=found.ended_at,
    )


def counts_of(found: GenerationDiff) -> DiffCounts:
    """How many there are of each kind."""
    return DiffCounts(
        new=len(found.new),
        gone=len(found.gone),
        changed=len(found.changed),
        moved=len(found.moved),
        uncertain=len(found.uncertain),
        unchanged=found.unchanged.pages,
    )


def text_diff(path: Path, url: str) -> list[str]:
    """The unified diff of the main text of a page, line by line. Raises Conflict, NotFound where one of both
    generations has no such page, StorageError."""
    older, newer = _generations(path)
    try:
        return [escape_unprintable(line) for line in diff_of_text(root_of(path), url, older, newer)]
    except UsageError:
        raise NotFound(f"page in both of the generations {older} and {newer}", url) from None


def _generations(path: Path) -> tuple[int, int]:
    """The generation before that in `path`, and that. Raises Conflict, also where one of both is gone."""
    open_crawl(path)
    try:
        return pair(root_of(path), None, number_of(path))
    except UsageError:
        raise Conflict("there is no generation before that of this run to compare with", NOTHING) from None
