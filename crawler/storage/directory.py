"""A crawl is a directory: a manifest, a lock, pages in parts, and one folder per shard with its frontier.

    DIR/crawl.json             manifest: format, seed of the marks and dice, settings of the last run, number of runs;
                               see crawler/storage/manifest.py
    DIR/lock                   flock of the process that works on it
    DIR/report.html            the report for people, see crawler/report
    DIR/parts/                 pages (and bodies/ beside it with the `files` store), written by any shard
    DIR/shard-0000/frontier.sqlite, and `commits` beside it (crawler/storage/frontier/commits.py): one folder for each
    shard

Rules:
- The manifest is replaced atomically (written beside, synced, renamed). It exists before anything it names.
- Part names have the number of the run and of the process that writes, so no name is ever used twice.
- `layout` names the distribution of URLs over the shards (see crawler.storage.resharding). While it is "" rows are
  being moved.
- New directories and databases are private to their owner: pages and cookies may be secret. An existing directory keeps
  its mode.
- The settings that decide which URLs are in scope and how pages are stored (`IMMUTABLE_KEYS`) never change.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from contextlib import ExitStack, closing, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from crawler.core.endings import Conclusion
from crawler.core.reasons import Ending
from crawler.errors import Corrupt, StorageError, UsageError
from crawler.metrics.counters import Tally
from crawler.settings import RETIRED, SECRET, Settings
from crawler.storage import manifest
from crawler.storage.database import PRIVATE, storage_errors
from crawler.storage.frontier.base import FrontierReader
from crawler.storage.frontier.joined import join
from crawler.storage.frontier.sqlite import SqliteFrontier
from crawler.storage.integrity import frontier_faults, lost_commits
from crawler.storage.manifest import FORMAT, MANIFEST, REBUILD, Manifest, is_lost
from crawler.storage.pages import open_store
from crawler.storage.pages.base import Store
from crawler.system import clock
from crawler.system.failpoints import passing
from crawler.system.file_lock import FileLock
from crawler.system.logs import open_log

BESIDE = f".{MANIFEST}"
REPORT = "report.html"
LOCK = "lock"
FRONTIER = "frontier.sqlite"
BROKEN = ".broken"
LOCK_PATIENCE = 0.2  # `lock_owner` of another process takes the lock for a moment
IMMUTABLE_KEYS = (
    "seeds",
    "scope",
    "include",
    "exclude",
    "store",
    "max_body",
    "max_links",
    "max_url_length",
    "follow_rel",
    "follow_errors",
    "respell",
    "obey_nofollow",
    "obey_noindex",
)
ALWAYS_KEPT = ("lease", "scope")

REPAIR = "restore it from a copy, or rebuild what can be: python -m crawler repair {}"
CHECKED_BELOW = 256 * 1024 * 1024


class CrawlDirectory:
    """One crawl on disk. `create` and `open` take the lock, `open_readonly` does not."""

    def __init__(self, path: Path, told: Manifest, lock: FileLock | None) -> None:
        self.path = path
        self.manifest = told
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
        begun = Manifest(format=FORMAT, seed=secrets.randbits(63), runs=0, demo=demo, settings=_differing(settings))
        with ExitStack() as stack:
            directory = cls(path, begun, _locked(path, stack))
            if is_lost(path):
                raise Corrupt(f"{path / MANIFEST} is missing; {REBUILD.format(path)}")
            if cls.exists(path):
                if not fresh:
                    raise UsageError(f"{path} is a crawl already; continue it with --resume or replace it with --fresh")
                _remove(path)
            with storage_errors(path):
                passing("directory.made")
            directory._write_manifest()
            stack.pop_all()
            return directory

    @classmethod
    def open(cls, path: Path) -> CrawlDirectory:
        """Open an existing crawl to continue it. Raises UsageError, Corrupt, Locked."""
        manifest.read(path)
        with ExitStack() as stack:
            lock = _locked(path, stack)
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
            directory = cls(path, manifest.rebuilt(path), _locked(path, stack))
            if (path / MANIFEST).exists():
                with storage_errors(path):
                    (path / MANIFEST).replace(free_name(path / f"{MANIFEST}{BROKEN}"))
            directory._write_manifest()
            stack.pop_all()
            return directory, True

    @classmethod
    def open_readonly(cls, path: Path) -> CrawlDirectory:
        """Open an existing crawl to read it, also while another process works on it. Raises UsageError, Corrupt."""
        return cls(path, manifest.read(path), None)

    @property
    def settings(self) -> Settings:
        """The settings of the last run. Raises Corrupt."""
        try:
            kept = {key: value for key, value in self.manifest.settings.items() if key not in RETIRED}
            return msgspec.convert(kept, Settings)
        except msgspec.ValidationError as error:
            raise Corrupt(f"{self.path / MANIFEST} is damaged ({error}); {REBUILD.format(self.path)}") from error

    @property
    def moving(self) -> bool:
        """Whether rows are being moved between the files of its shards, or there are no files yet."""
        return not self.manifest.layout

    @property
    def ours(self) -> bool:
        """Whether this process holds the lock, so it may write."""
        return self._lock is not None

    def lock_owner(self) -> int | None:
        """The id of the process that works on it now: 0 where the id is not written yet, None where there is none."""
        try:
            descriptor = os.open(self.path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 64, 0).partition(b"\n")[0]
            return int(text) if text.isdigit() else 0
        finally:
            os.close(descriptor)
        return None

    @cached_property
    def to_unix(self) -> float:
        """Seconds from the monotonic clock to the Unix time of this run; see crawler/system/clock.py. Cached: two
        readings of the clocks differ by the time that passes between them."""
        files = self.path.glob(f"shard-*/{FRONTIER}*")
        return clock.offset(self.manifest.boot, self.manifest.to_unix, files)

    def begin_run(self, settings: Settings, frontier: SqliteFrontier | None = None) -> int:
        """Count one more run with these settings; returns its number. Stores a copy of the manifest in the open
        `frontier`, or without one in all there are."""
        runs = self.manifest.runs + 1
        self.manifest = msgspec.structs.replace(
            self.manifest,
            runs=runs,
            settings=_differing(settings),
            boot=clock.boot(),
            to_unix=self.to_unix,
            secret_origins=settings.secret_origins,
            ending="",
        )
        self._write_manifest()
        copy = msgspec.json.encode(self.manifest)
        if frontier is not None:
            frontier.keep_manifest(copy)
            return runs
        for shard in self.shards_there():
            with closing(SqliteFrontier(frontier_path(self.path, shard), seed=self.manifest.seed)) as one:
                one.keep_manifest(copy)
        return runs

    def check_to_write(self) -> None:
        """Check the frontiers before a run. Raises Corrupt, whose message has the fault and what to do."""
        for path in self.frontier_files():
            if path.stat().st_size < CHECKED_BELOW:
                self._check(path)
        with closing(self.open_frontiers()) as reader:
            tally, rows = reader.tally(), reader.count()
        if self.manifest.layout and rows != tally.queued:
            raise Corrupt(
                f"{self.path} is damaged ({tally.queued} URLs were admitted, {rows} are there); "
                + REPAIR.format(self.path)
            )

    def _check(self, path: Path) -> None:
        """Raises Corrupt for a fault in a frontier's file. Lost commits are only logged: the rest is consistent."""
        for fault in frontier_faults(path, self.manifest.seed, self.moving, for_run=True):
            raise Corrupt(f"{fault}; {REPAIR.format(self.path)}")
        if lost := lost_commits(path):
            open_log().warning("lost commits", file=str(path), commits=lost, hint="what is missing is fetched again")

    def end_run(self, ran: Ending) -> Conclusion:
        """Store how a run ended; returns the conclusion of the crawl."""
        found = self.tally().conclude(ran)
        self.manifest = msgspec.structs.replace(self.manifest, ending=found.ending.value)
        self._write_manifest()
        return found

    def intend(self, again: tuple[str, ...]) -> None:
        """Store in the manifest what is being reopened; () once that is done."""
        self.manifest = msgspec.structs.replace(self.manifest, again=again)
        self._write_manifest()

    def frontier(self, shard: int = 0) -> SqliteFrontier:
        """Open the frontier of a shard to write; checks it first. Raises StorageError."""
        path = self._frontier_path(shard)
        if self.manifest.format < FORMAT:  # first, so that no earlier version writes to a file that has been upgraded
            self._write_manifest()
        with storage_errors(path):
            path.parent.mkdir(PRIVATE, exist_ok=True)
        if path.exists() and path.stat().st_size < CHECKED_BELOW:
            self._check(path)
        return SqliteFrontier(path, seed=self.manifest.seed)

    def open_frontiers(self, lenient: bool = False) -> FrontierReader:
        """The frontiers of all shards as one, to read, also while another process writes; `lenient` skips damaged rows.
        Raises UsageError, Corrupt."""
        return join([self.reader(path, lenient) for path in self.frontier_files()])

    def reader(self, path: Path, lenient: bool = False) -> SqliteFrontier:
        """Open one frontier file to read. Raises StorageError."""
        return SqliteFrontier(path, True, self.manifest.seed, lenient)

    def part_files(self) -> list[Path]:
        """The files of all parts."""
        return sorted((self.path / "parts").glob("*.sqlite"))

    def frontier_files(self) -> list[Path]:
        """The existing files of all frontiers, for readers. Raises UsageError, Corrupt."""
        needed = [self._frontier_path(shard) for shard in range(self.manifest.shards)]
        if not any(path.exists() for path in needed):
            raise UsageError(f"{self.path} has not been started yet; go on with it first: resume {self.path}")
        return sorted({*(path for path in needed if path.exists()), *self.path.glob(f"shard-*/{FRONTIER}")})

    def _frontier_path(self, shard: int) -> Path:
        """The file of a frontier. Raises Corrupt where it is missing or empty."""
        path = frontier_path(self.path, shard)
        if self.manifest.layout and shard < self.manifest.shards:
            if not path.exists():
                raise Corrupt(f"{path} is missing; {REPAIR.format(self.path)}")
            if path.stat().st_size == 0:
                raise Corrupt(f"{path} is damaged (it is empty); {REPAIR.format(self.path)}")
        return path

    def shards_there(self) -> list[int]:
        """The shards that have a file, of this layout or an earlier one."""
        return sorted(int(path.parent.name.removeprefix("shard-")) for path in self.path.glob(f"shard-*/{FRONTIER}"))

    def set_layout(self, shards: int, layout: str) -> None:
        """Store in the manifest how URLs are distributed; "" where a move of rows begins."""
        moves = self.manifest.moves + (layout == "" != self.manifest.layout)
        self.manifest = msgspec.structs.replace(self.manifest, shards=shards, layout=layout, moves=moves)
        self._write_manifest()

    def tally(self) -> Tally:
        """What is settled, also while another process works on it; all zero before the first run has begun."""
        if not self.manifest.runs:
            return Tally()
        with closing(self.open_frontiers()) as frontier:
            return frontier.tally()

    def admit_within(self, max_depth: int | None) -> None:
        """Before a run: admit the URLs that were beyond the depth limit of earlier runs and are within this one. Raises
        StorageError."""
        if self.tally().too_deep:
            for shard in self.shards_there():
                with closing(self.frontier(shard)) as frontier:
                    frontier.admit_within(max_depth)

    def store(self, disk_wait: float = 0.0) -> Store:
        """The store of the pages; `disk_wait` as in `open_store`."""
        return open_store(str(self.manifest.settings.get("store", "sqlite")), self.path, disk_wait)

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.release()

    def _write_manifest(self) -> None:
        self.manifest = msgspec.structs.replace(self.manifest, format=FORMAT)
        path = self.path / MANIFEST
        beside = self.path / BESIDE
        with storage_errors(path):
            with beside.open("wb") as file:
                file.write(manifest.encode(self.manifest))
                file.flush()
                os.fsync(file.fileno())
            passing("manifest.replace")
            beside.replace(path)


def come_to(manifest: Manifest, tally: Tally) -> Conclusion | None:
    """The conclusion of a crawl; None where URLs are owed and the last run has no ending: it runs or was killed."""
    over = tally.queued and not tally.owed
    if not over and manifest.ending not in (Ending.LIMIT, Ending.STOPPED):
        return None
    return tally.conclude(Ending.LIMIT if manifest.ending == Ending.LIMIT else Ending.STOPPED)


def frontier_path(folder: Path, shard: int) -> Path:
    """The frontier file of a shard in the folder of its crawl."""
    return folder / f"shard-{shard:04d}" / FRONTIER


def _locked(path: Path, stack: ExitStack) -> FileLock:
    """Take the lock of a directory; the stack releases it. Raises Locked, StorageError."""
    lock = FileLock(path / LOCK)
    lock.acquire(str(path), LOCK_PATIENCE)
    stack.callback(lock.release)
    return lock


def _differing(settings: Settings) -> dict[str, Any]:
    """The keys that differ from the defaults and are not secret, as plain values."""
    mine, defaults = msgspec.to_builtins(settings), msgspec.to_builtins(Settings())
    told = (key for key in mine if key not in SECRET)
    return {key: mine[key] for key in told if mine[key] != defaults[key] or key in ALWAYS_KEPT}


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
        for entry in (*path.glob("shard-*"), path / "parts", path / "bodies"):
            if entry.exists():
                shutil.rmtree(entry)
        for name in (REPORT, f".{REPORT}"):
            (path / name).unlink(missing_ok=True)
        passing("directory.removed")
        (path / MANIFEST).unlink()
