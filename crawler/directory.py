"""A crawl is a directory: a manifest, a lock, pages in parts, and one folder per shard with its frontier.

    DIR/crawl.json             manifest: format, seed of the marks and dice, settings of the last run, number of runs
    DIR/lock                   flock of the process that works on it
    DIR/report.html            what a reader may want to know of it, see crawler/report
    DIR/parts/                 pages (and bodies/ beside it with the `files` store), written by any shard
    DIR/shard-0000/frontier.sqlite, one folder for each shard there ever was

Rules:
- The manifest is replaced as a whole (written beside, synced, renamed). It is there before anything it names.
- Part names carry the number of the run and of the process that writes, so no name is ever used twice.
- `layout` says how URLs are laid out over the shards (see crawler.layout). While it is "" they are being moved.
- What decides which URLs are ours and how pages are kept (`KEPT`) never changes in the life of a directory.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import sqlite3
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from crawler import clock
from crawler.database import connect_to_read, storage_errors
from crawler.errors import Corrupt, StorageError, UsageError
from crawler.failpoints import passing
from crawler.frontier.base import FrontierReader
from crawler.frontier.joined import join
from crawler.frontier.sqlite import SqliteFrontier
from crawler.lock import FileLock
from crawler.settings import RETIRED, SECRET, Settings
from crawler.stats import Tally
from crawler.store import open_store
from crawler.store.base import Store

FORMAT = 3
MANIFEST = "crawl.json"
BESIDE = f".{MANIFEST}"
REPORT = "report.html"
LOCK = "lock"
FRONTIER = "frontier.sqlite"
LOCK_PATIENCE = 0.2  # `holder` of another process takes the lock for a moment
KEPT = (
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
OLD_SCOPE = "host"
"""The scope of a directory that names none: the default before "site" was."""

REPAIR = "restore it from a copy, or rebuild what can be: python -m crawler repair {}"
CHECKED_BELOW = 256 * 1024 * 1024


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a directory says of itself. `settings` are the keys of the last run that differ from the defaults, but for
    what is secret: of that only the origins are kept, `secret_origins`. `to_unix` leads from its monotonic clock, of
    that `boot`, to Unix time."""

    format: int
    seed: int
    runs: int
    demo: bool
    settings: dict[str, Any]
    shards: int = 1
    layout: str = ""
    moves: int = 0
    boot: str = ""
    to_unix: float = 0.0
    secret_origins: tuple[str, ...] = ()


class CrawlDirectory:
    """One crawl on disk. `create` and `open` take the lock, `look` does not."""

    def __init__(self, path: Path, manifest: Manifest, lock: FileLock | None) -> None:
        self.path = path
        self.manifest = manifest
        self._lock = lock

    @staticmethod
    def exists(path: Path) -> bool:
        """Is there a crawl?"""
        return (path / MANIFEST).is_file()

    @classmethod
    def create(cls, path: Path, settings: Settings, demo: bool, fresh: bool) -> CrawlDirectory:
        """A new crawl; with `fresh` in place of the one that is there. Raises UsageError, StorageError, Locked."""
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is not a directory; choose another --out")
        try:
            path.mkdir(parents=True, exist_ok=True)
            strangers = [entry.name for entry in path.iterdir() if entry.name not in (LOCK, BESIDE)]
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}; choose another --out") from error
        if strangers and not cls.exists(path):
            raise UsageError(f"{path} is not empty and not a crawl; choose another --out")
        manifest = Manifest(format=FORMAT, seed=secrets.randbits(63), runs=0, demo=demo, settings=_differing(settings))
        with ExitStack() as stack:
            directory = cls(path, manifest, _locked(path, stack))
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
        """An existing crawl, to go on with it. Raises UsageError, Corrupt, Locked."""
        _read_manifest(path)
        with ExitStack() as stack:
            lock = _locked(path, stack)
            directory = cls(path, _read_manifest(path), lock)
            stack.pop_all()
            return directory

    @classmethod
    def look(cls, path: Path) -> CrawlDirectory:
        """An existing crawl, to read what is there, also while another process works on it."""
        return cls(path, _read_manifest(path), None)

    @property
    def settings(self) -> Settings:
        """The settings of the last run. Raises Corrupt."""
        try:
            kept = {key: value for key, value in self.manifest.settings.items() if key not in RETIRED}
            return msgspec.convert(kept, Settings)
        except msgspec.ValidationError as error:
            raise Corrupt(
                f"{self.path / MANIFEST} is damaged ({error}); restore it from a copy or start anew with crawl --fresh"
            ) from error

    @property
    def ours(self) -> bool:
        """Was it opened to work on it, not to look?"""
        return self._lock is not None

    def holder(self) -> int | None:
        """The process that works on it now: its id, 0 where it has not told yet, None where there is none."""
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
        """Seconds from the monotonic clock to the Unix time that this run lives by; see crawler/clock.py. Found out
        once: two looks at the clocks differ by as long as the machine was busy elsewhere between them."""
        files = self.path.glob(f"shard-*/{FRONTIER}*")
        return clock.offset(self.manifest.boot, self.manifest.to_unix, files)

    def begin_run(self, settings: Settings) -> int:
        """Count one more run with these settings; its number."""
        runs = self.manifest.runs + 1
        self.manifest = msgspec.structs.replace(
            self.manifest,
            runs=runs,
            settings=_differing(settings),
            boot=clock.boot(),
            to_unix=self.to_unix,
            secret_origins=settings.secret_origins,
        )
        self._write_manifest()
        return runs

    def frontier(self, shard: int = 0) -> SqliteFrontier:
        """The frontier of a shard, to write to; it is checked first. Raises StorageError."""
        path = self._frontier_path(shard)
        with storage_errors(path):
            path.parent.mkdir(exist_ok=True)
        if path.exists() and path.stat().st_size < CHECKED_BELOW:
            _check(path)
        return SqliteFrontier(path, seed=self.manifest.seed)

    def look_back(self) -> FrontierReader:
        """The frontiers of all shards as one, to read, also while they are written to. Raises UsageError, Corrupt."""
        return join([SqliteFrontier(path, read_only=True, seed=self.manifest.seed) for path in self.frontier_files()])

    def frontier_files(self) -> list[Path]:
        """The files of all frontiers that are there, for readers. Raises UsageError, Corrupt."""
        needed = [self._frontier_path(shard) for shard in range(self.manifest.shards)]
        if not needed[0].exists():
            raise UsageError(f"{self.path} has not been started yet; go on with it first: resume {self.path}")
        return sorted({*(path for path in needed if path.exists()), *self.path.glob(f"shard-*/{FRONTIER}")})

    def _frontier_path(self, shard: int) -> Path:
        """Where a frontier lies. Raises Corrupt where it has been lost."""
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

    def lay_out(self, shards: int, layout: str) -> None:
        """Keep in the manifest how the URLs are laid out; "" where they begin to be moved."""
        moves = self.manifest.moves + (layout == "" != self.manifest.layout)
        self.manifest = msgspec.structs.replace(self.manifest, shards=shards, layout=layout, moves=moves)
        self._write_manifest()

    def tally(self) -> Tally:
        """What is settled, also while another process works on it; all zero before the first run has begun."""
        if not self.manifest.runs:
            return Tally()
        with closing(self.look_back()) as frontier:
            return frontier.tally()

    def check(self) -> None:
        """Ask SQLite whether the frontiers' files are whole. Raises Corrupt."""
        for path in self.frontier_files():
            _check(path)

    def store(self, disk_wait: float = 0.0) -> Store:
        """The pages; `disk_wait` as in `open_store`."""
        return open_store(str(self.manifest.settings.get("store", "sqlite")), self.path, disk_wait)

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._lock.release()

    def _write_manifest(self) -> None:
        path = self.path / MANIFEST
        beside = self.path / BESIDE
        with storage_errors(path):
            with beside.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(self.manifest)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            passing("manifest.replace")
            beside.replace(path)


def frontier_path(folder: Path, shard: int) -> Path:
    """Where the frontier of a shard lies in the folder of its crawl."""
    return folder / f"shard-{shard:04d}" / FRONTIER


def _locked(path: Path, stack: ExitStack) -> FileLock:
    """The lock of a directory, let go of with the stack."""
    lock = FileLock(path / LOCK)
    lock.acquire(str(path), LOCK_PATIENCE)
    stack.callback(lock.release)
    return lock


def _read_manifest(path: Path) -> Manifest:
    file = path / MANIFEST
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{path} is not a crawl (no {MANIFEST} in it)") from None
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise Corrupt(
            f"{file} is damaged ({error}); restore it from a copy or start anew with crawl --fresh"
        ) from error
    if manifest.format != FORMAT:
        age = "a newer" if manifest.format > FORMAT else "an older"
        raise StorageError(
            f"{path} has format {manifest.format}, this version reads format {FORMAT}; use {age} version of the crawler"
        )
    manifest.settings.setdefault("scope", OLD_SCOPE)
    return manifest


def _differing(settings: Settings) -> dict[str, Any]:
    """The keys that differ from the defaults and are not secret, as plain values."""
    mine, defaults = msgspec.to_builtins(settings), msgspec.to_builtins(Settings())
    told = (key for key in mine if key not in SECRET)
    return {key: mine[key] for key in told if mine[key] != defaults[key] or key in ALWAYS_KEPT}


def is_whole(path: Path) -> bool:
    """Whether SQLite finds a file there, and nothing wrong with it."""
    return path.exists() and path.stat().st_size > 0 and _verdict(path) == "ok"


def _check(path: Path) -> None:
    """Ask SQLite whether the file is whole. Raises Corrupt."""
    verdict = _verdict(path)
    if verdict != "ok":
        raise Corrupt(f"{path} is damaged ({verdict}); {REPAIR.format(path.parent.parent)}")


def _verdict(path: Path) -> str:
    """ "ok", or what SQLite has found. Raises StorageError where the file cannot be read at all."""
    try:
        with closing(connect_to_read(path)) as connection, storage_errors(path):
            return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except (Corrupt, sqlite3.DatabaseError) as error:
        return str(error.__cause__ or error)


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
