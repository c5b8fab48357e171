"""Reopens, before a run, the URLs that a crawl has missed. crawler/core/reopening.py decides which those are.

Rules:
- The manifest names what is to be reopened until all shards have done so: each in one transaction, so a kill leaves
  some of them reopened and the rest for the next run.
- The pages of reopened rows are no longer named, and are swept from their parts before the run begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing

import msgspec

from crawler.core.reasons import Ending
from crawler.core.reopening import NAMES, selection
from crawler.errors import UsageError
from crawler.storage.directory import CrawlDirectory
from crawler.storage.pages.base import Store
from crawler.system.failpoints import passing


class Wanted(msgspec.Struct, frozen=True):
    """What the user wants of an existing crawl: that the URLs are reopened that `failed`, and those that ended with one
    of these `reasons`; that other `seeds` than its own are added to it."""

    failed: bool = False
    reasons: tuple[str, ...] = ()
    seeds: bool = False

    def __bool__(self) -> bool:
        return self.failed or bool(self.reasons) or self.seeds


def check_names(names: Iterable[str]) -> None:
    """Raises UsageError for a name that is not in NAMES."""
    for name in names:
        if name not in NAMES:
            raise UsageError(f"URLs cannot be selected by the reason {name!r} (there are: {', '.join(NAMES)})")


def asks_again(directory: CrawlDirectory, wanted: Wanted) -> bool:
    """Whether the next run may have URLs to fetch."""
    tally = directory.tally()
    return bool(tally.owed or wanted or directory.manifest.again or tally.conclude().ending is not Ending.COMPLETE)


def ask_again(directory: CrawlDirectory, store: Store, wanted: Wanted) -> dict[str, int]:
    """Reopen the selected URLs; returns how many, by the reason they had ended with. Raises StorageError."""
    tally = directory.tally()
    begun = directory.manifest.again
    words = selection(tally.conclude().ending, wanted.reasons, wanted.failed) if tally.queued else frozenset()
    words |= frozenset(begun)
    if not words:
        return {}
    directory.intend(tuple(sorted(words)))
    counts: Counter[str] = Counter()
    parts: set[str] = set(store.parts() if begun else ())
    for shard in directory.shards_there():
        with closing(directory.frontier(shard)) as frontier:
            reopened = frontier.reopen(words)
        counts += reopened.counts
        parts |= reopened.parts
    passing("asking.reopened")
    with closing(directory.open_frontiers()) as every:
        store.sweep(every.named(parts))
    directory.intend(())
    return dict(counts.most_common())
