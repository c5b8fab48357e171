"""What a crawl would lose to a kill or a power cut, by what its files show to another process.

Rules, and why:
- An engine that commits seldom or never syncs is faster, so durability is a part of the work and is compared.
- The engine is not asked. Its SQLite files are looked at from outside while it runs: when they were last written. A
  commit that the crawl states must show there. Afterwards the header of each file tells its journal mode.
- SQLite with `synchronous` NORMAL or FULL syncs a file when its WAL is merged into it, at the latest when it is closed.
  So nothing of it is left to be written at the end; with OFF nearly all of it is. The kernel tells how much is left
  (cachestat(2), Linux 6.5 and later). Where it tells nothing useful (an older one, tmpfs) that is unknown: a file that
  is written and then synced shows which.
- One or two commits may show late, where the disk is slow: the next one only begins when they are done. Most of them do
  not, unless they are made up.
- A kill may cost what is not committed: at most MAX_UNCOMMITTED pages (runtime/recorder.py), and for each slot the page
  that landed in the step in which they became so many and the one that it fetched then.
"""

from __future__ import annotations

import ctypes
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from time import time
from typing import NamedTuple

import msgspec

from crawler.runtime.recorder import MAX_UNCOMMITTED

WAL = 2
"""The format version in bytes 18 and 19 of an SQLite file in WAL mode (https://www.sqlite.org/fileformat.html)."""
INDEX = "-shm"
"""The end of the name of the index of a WAL: readers write it, too."""
CACHESTAT = 451
SOON = 0.5
"""Seconds after which a commit must show in a file; clocks of files are a few ms behind."""
COARSE = 0.02
FEW = 2
"""Commits that may show late, however few there are."""


class Look(msgspec.Struct, frozen=True):
    """One look at the files: when, and the time of the last write to any of them (0: none yet). Unix time."""

    at: float
    written_at: float


class Durability(msgspec.Struct, frozen=True):
    """What the files showed: the looks while the crawl ran, the files that are not in WAL mode, the bytes that were not
    yet on disk when it had ended (None where the kernel does not tell)."""

    looks: tuple[Look, ...] = ()
    other_journal: tuple[str, ...] = ()
    unsynced: int | None = None


class Commits(NamedTuple):
    """The commits of a crawl as it states them: their number, the pages of the largest, the longest time from one to
    the next in seconds."""

    number: int
    largest: int
    longest: float


class FileWatch:
    """Looks at the SQLite files below the folder of a crawl."""

    def __init__(self, crawl: Path) -> None:
        self._crawl = crawl
        self._looks: list[Look] = []

    def look(self) -> None:
        """Look once."""
        files = (path for path in self._crawl.rglob("*.sqlite*") if not path.name.endswith(INDEX))
        times = [_written_at(path) for path in files]
        self._looks.append(Look(time(), max(times, default=0.0)))

    def end(self) -> Durability:
        """What was seen, once the crawl has ended."""
        files = sorted(self._crawl.rglob("*.sqlite"))
        return Durability(tuple(self._looks), tuple(path.name for path in files if not _has_wal(path)), unsynced(files))


def _has_wal(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(20)[18:] == bytes((WAL, WAL))


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # a WAL that was just removed
        return 0.0


def unsynced(files: Iterable[Path]) -> int | None:
    """The bytes of files that are not yet on disk; None where the kernel does not tell."""
    total = 0
    for path in files:
        with TemporaryFile(dir=path.parent, buffering=0) as control, path.open("rb") as file:
            control.write(b"control")
            written = _unwritten_pages(control.fileno())
            os.fsync(control.fileno())
            synced, left = _unwritten_pages(control.fileno()), _unwritten_pages(file.fileno())
            if not written or synced != 0 or left is None:
                return None
            total += left
    return total * os.sysconf("SC_PAGE_SIZE")


def _unwritten_pages(descriptor: int) -> int | None:
    """Pages of a file that are dirty or being written, by cachestat(2); None where there is no such call."""
    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
    except (OSError, AttributeError):
        return None
    whole, found = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
    if call(CACHESTAT, descriptor, ctypes.byref(whole), ctypes.byref(found), 0):
        return None
    _, dirty, writing, _, _ = found
    return int(dirty + writing)


def commits(stored_at: Mapping[str, float]) -> Commits:
    """The commits, from when each URL was stored."""
    sizes = Counter(stored_at.values())
    gaps = (later - earlier for earlier, later in pairwise(sorted(sizes)))
    return Commits(len(sizes), max(sizes.values(), default=0), max(gaps, default=0.0))


def unseen(stored_at: Mapping[str, float], looks: Iterable[Look]) -> tuple[int, int]:
    """How many commits were stated for a time since which no file had been written when it was looked at SOON after; of
    how many there was such a look."""
    missed, waiting = 0, sorted(set(stored_at.values()), reverse=True)
    whole = len(waiting)
    for look in looks:
        while waiting and waiting[-1] + SOON <= look.at:
            missed += look.written_at < waiting.pop() - COARSE
    return missed, whole - len(waiting)


def faults(stored_at: Mapping[str, float], seen: Durability, slots: int) -> list[str]:
    """Where a crawl with so many slots kept less than it should, one line each."""
    most, largest = MAX_UNCOMMITTED + 2 * slots, commits(stored_at).largest
    found = [f"{name} is not in WAL mode" for name in seen.other_journal]
    if largest > most:
        found.append(f"{largest} pages in one commit, where a kill may cost {most}")
    missed, of = unseen(stored_at, seen.looks)
    if missed > max(FEW, of / 2):
        found.append(f"{missed} of {of} commits are stated for times at which no file was written")
    if seen.unsynced:
        found.append(f"{seen.unsynced} bytes were left to be synced")
    return found
