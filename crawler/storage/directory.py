"""A crawl is a directory: a manifest, a lock, pages in parts, and one folder per shard with its frontier.

    DIR/crawl.json             manifest: format, seed of the marks and dice, settings of the last run, number of runs;
                               see crawler/storage/manifest.py
    DIR/lock                   flock of the process that works on it
    DIR/report.html            the report for people, see crawler/report
    DIR/parts/                 pages (and bodies/ beside it with the `files` store), written by any shard
    DIR/shard-0000/frontier.sqlite, and `commits` beside it (crawler/storage/frontier/commits.py): one folder for each
    shard
    DIR/generations/, DIR/known.sqlite   re-crawls of it, see crawler/storage/generations.py

The rows of the frontiers may be in PostgreSQL and the pages in an object store instead, see crawler/storage/opening.py.

Rules:
- Part names have the number of the run and of the process that writes, so no name is ever used twice.
- `layout` names the distribution of URLs over the shards (see crawler.storage.resharding). While it is "" rows are
  being moved.
- New directories and databases are private to their owner: pages and cookies may be secret. An existing directory keeps
  its mode.
- The settings that decide which URLs are in scope and how pages are stored (`IMMUTABLE_KEYS`) never change, except
  that seeds may be added. Until a run completes after that, nobody knows whether all of them were admitted, so the
  crawl is not over even where it owes no URL.
"""

from __future__ import annotations

import secrets
import shutil
from contextlib import ExitStack, closing, suppress
from functools import cached_property
from pathlib import Path
from time import time
from typing import Protocol

import msgspec

from crawler.core.endings import Conclusion
from crawler.core.reasons import Ending
from crawler.errors import Corrupt, StorageError, UsageError
from crawler.metrics.counters import Tally
from crawler.settings import Settings
from crawler.storage import directory_lock, manifest
from crawler.storage.crawl_files import CrawlFiles
from crawler.storage.database import PRIVATE, retry_storage, storage_errors
from crawler.storage.directory_lock import LOCK
from crawler.storage.generations import DROPPED, GENERATIONS, KNOWN, folder_of, last_of, number_of, root_of
from crawler.storage.manifest import BESIDE, FORMAT, MANIFEST, MOST_COSTS, Manifest, RunCost, is_lost, rebuild_hint
from crawler.storage.opening import FRONTIER, open_frontier
from crawler.storage.readings import FOLDER as READINGS
from crawler.system import clock
from crawler.system.failpoints import passing
from crawler.system.file_lock import FileLock

REPORT = "report.html"
DIFF_REPORT = "diff.html"
BROKEN = ".broken"
MOVING = ".moving-"
IMMUTABLE_KEYS = (
    "seeds",
    "scope",
    "include",
    "exclude",
    "filter",
    "store",
    "frontier",
    "max_body",
    "max_links",
    "sitemaps",
    "max_url_length",
    "follow_rel",
    "follow_errors",
    "respell",
    "obey_nofollow",
    "obey_noindex",
)
ACCESS_KEYS = ("frontier_password", "store_endpoint", "store_region", "store_key", "store_secret")
"""How the places that cannot change are reached. These keys may change, and are kept like those."""


class CopyKeeper(Protocol):
    """A frontier that is open to write, as far as a directory needs it."""

    def keep_manifest(self, manifest: bytes) -> None:
        """Store a copy of the manifest."""


class CrawlDirectory(CrawlFiles):
    """One crawl on disk. `create` and `open` take the lock, `open_readonly` does not."""

    def __init__(self, path: Path, told: Manifest, lock: FileLock | None) -> None:
        super().__init__(path, told)
        self._lock = lock

    @staticmethod
    def exists(path: Path) -> bool:
        """Whether there is a crawl."""
        return (path / MANIFEST).is_file()

    @classmethod
    def create(cls, path: Path, settings: Settings, demo: bool, fresh: bool) -> CrawlDirectory:
        """Create a crawl; `fresh` replaces an existing one. Raises UsageError, StorageError, Locked."""
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is not a directory; choose another --out")
        try:
            path.mkdir(PRIVATE, parents=True, exist_ok=True)
            strangers = [entry.name for entry in path.iterdir() if entry.name not in (LOCK, BESIDE)]
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}; choose another --out") from error
        if strangers and not cls.exists(path) and not is_lost(path):
            raise UsageError(f"{path} is not empty and not a crawl; choose another --out")
        begun = Manifest(
            format=FORMAT, seed=secrets.randbits(63), runs=0, demo=demo, settings=manifest.differing(settings)
        )
        with ExitStack() as stack:
            directory = cls(path, begun, directory_lock.take(root_of(path), stack))
            if is_lost(path):
                raise Corrupt(f"{path / MANIFEST} is missing; {rebuild_hint(path)}")
            if cls.exists(path):
                if not fresh:
                    raise UsageError(f"{path} is a crawl already; continue it with --resume or replace it with --fresh")
                for folder in (*sorted((path / GENERATIONS).glob("*")), path):
                    if cls.exists(folder):
                        with suppress(Corrupt):  # then nobody knows what else it had
                            cls.open_readonly(folder).remove_elsewhere()
                _remove(path)
            with storage_errors(path):
                passing("directory.made")
            directory.change_manifest()
            stack.pop_all()
            return directory

    @classmethod
    def open(cls, path: Path) -> CrawlDirectory:
        """Open an existing crawl to continue it. Raises UsageError, Corrupt, Locked."""
        manifest.read(path)
        with ExitStack() as stack:
            lock = directory_lock.take(root_of(path), stack)
            directory = cls(path, manifest.read(path), lock)
            stack.pop_all()
            return directory

    @classmethod
    def rescue(cls, path: Path) -> tuple[CrawlDirectory, bool]:
        """Open an existing crawl to repair it; returns also whether its manifest was damaged or lost: then it has been
        rebuilt. Raises UsageError, Corrupt, Locked."""
        if not is_lost(path):
            with suppress(Corrupt):
                return cls.open(path), False
        with ExitStack() as stack:
            directory = cls(path, manifest.rebuilt(path), directory_lock.take(root_of(path), stack))
            if (path / MANIFEST).exists():
                with storage_errors(path):
                    (path / MANIFEST).replace(free_name(path / f"{MANIFEST}{BROKEN}"))
            directory.change_manifest()
            stack.pop_all()
            return directory, True

    @classmethod
    def open_readonly(cls, path: Path) -> CrawlDirectory:
        """Open an existing crawl to read it, also while another process works on it. Raises UsageError, Corrupt."""
        return cls(path, manifest.read(path), None)

    @property
    def ours(self) -> bool:
        """Whether this process holds the lock, so it may write."""
        return self._lock is not None

    @property
    def generation(self) -> int:
        """The number of this generation."""
        return number_of(self.path)

    @property
    def was_cut_short(self) -> bool:
        """Whether the last run of a re-crawl was killed: pages that nothing links to may not have been asked for."""
        return self.generation > 0 and self.manifest.runs > 0 and not self.manifest.ending

    @property
    def is_over(self) -> bool:
        """Whether another generation may follow: this one has ended by itself or by a limit."""
        if not self.manifest.runs or self.was_cut_short:
            return False
        reached = come_to(self.manifest, self.tally())
        return reached is not None and reached.ending is not Ending.STOPPED

    def begin_next(self, settings: Settings) -> CrawlDirectory:
        """Create the next generation, with the lock of this one, which is not used any more. Raises StorageError."""
        root = root_of(self.path)
        path = folder_of(root, self.generation + 1)
        begun = Manifest(
            format=FORMAT,
            seed=secrets.randbits(63),
            runs=0,
            demo=self.manifest.demo,
            settings=manifest.differing(settings),
            chosen_at=time() if settings.revisit == "adaptive" else 0.0,
        )
        with storage_errors(path):
            (root / GENERATIONS).mkdir(PRIVATE, exist_ok=True)
            path.mkdir(PRIVATE, exist_ok=True)
            passing("directory.made")
        directory = CrawlDirectory(path, begun, self._lock)
        directory.change_manifest()
        self._lock = None
        return directory

    def lock_owner(self) -> int | None:
        """The id of the process that works on it now: 0 where the id is not written yet, None where there is none. Only
        the last generation is worked on."""
        root = root_of(self.path)
        return directory_lock.owner(root) if last_of(root) == self.path else None

    @cached_property
    def to_unix(self) -> float:
        """Seconds from the monotonic clock to the Unix time of this run; see crawler/system/clock.py. Cached: two
        readings of the clocks differ by the time that passes between them."""
        files = self.path.glob(f"shard-*/{FRONTIER}*")
        return clock.offset(self.manifest.boot, self.manifest.to_unix, files)

    def adds_seeds(self, settings: Settings) -> bool:
        """Whether a run with these settings has seeds that may not have been admitted yet."""
        return self.manifest.adding or not set(self.manifest.settings.get("seeds", ())).issuperset(settings.seeds)

    def begin_run(self, settings: Settings, frontier: CopyKeeper | None = None) -> int:
        """Count one more run with these settings; returns its number. Stores a copy of the manifest in the open
        `frontier`, or without one in all there are."""
        runs = self.manifest.runs + 1
        self.change_manifest(
            runs=runs,
            settings=manifest.differing(settings),
            boot=clock.boot(),
            to_unix=self.to_unix,
            secret_origins=settings.secret_origins,
            ending="",
            adding=self.adds_seeds(settings),
        )
        copy = msgspec.json.encode(self.manifest)
        if frontier is not None:
            retry_storage(lambda: frontier.keep_manifest(copy), self.patience)
            return runs
        retry_storage(lambda: self._keep_copies(copy), self.patience)
        return runs

    def _keep_copies(self, manifest: bytes) -> None:
        for shard in self.shards_there():
            with closing(open_frontier(self.access, self.path, self.manifest.seed, shard)) as one:
                one.keep_manifest(manifest)

    def end_run(self, ran: Ending, cost: RunCost) -> Conclusion:
        """Store how a run ended, and its cost; returns the conclusion of the crawl."""
        found = self.tally().conclude(ran)
        self.change_manifest(
            ending=found.ending.value,
            adding=self.manifest.adding and ran is not Ending.COMPLETE,
            costs=(*self.manifest.costs, cost)[-MOST_COSTS:],
        )
        return found

    def intend(self, again: tuple[str, ...]) -> None:
        """Store in the manifest what is being reopened; () once that is done."""
        self.change_manifest(again=again)

    def set_layout(self, shards: int, layout: str) -> None:
        """Store in the manifest how URLs are distributed; "" where a move of rows begins."""
        moves = self.manifest.moves + (layout == "" != self.manifest.layout)
        self.change_manifest(shards=shards, layout=layout, moves=moves)

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.release()


def come_to(manifest: Manifest, tally: Tally) -> Conclusion | None:
    """The conclusion of a crawl; None where URLs are owed and the last run has no ending: it runs or was killed."""
    over = tally.queued and not tally.owed and not manifest.adding
    if not over and manifest.ending not in (Ending.LIMIT, Ending.STOPPED):
        return None
    return tally.conclude(Ending.LIMIT if manifest.ending == Ending.LIMIT else Ending.STOPPED)


def free_name(path: Path) -> Path:
    """This path, or the first with a number appended that does not exist."""
    number, free = 0, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}{number}")
    return free


def _remove(path: Path) -> None:
    """Remove a crawl, manifest last, so that a kill in between leaves something that is still recognised as one."""
    with storage_errors(path):
        for entry in (
            *path.glob("shard-*"),
            *path.glob(f"{MOVING}*"),
            path / GENERATIONS,
            path / "parts",
            path / "bodies",
            path / READINGS,
        ):
            if entry.exists():
                shutil.rmtree(entry)
        for file in (path / REPORT, path / f".{REPORT}", path / DROPPED, *path.glob(f"{KNOWN}*")):
            file.unlink(missing_ok=True)
        passing("directory.removed")
        (path / MANIFEST).unlink()
