"""The files of a crawl directory: which frontiers and parts there are, how they are opened and checked before a run.

Rules:
- The manifest says which files must be there. One that is missing or empty is damage; a file beyond them is left from
  another layout, and readers read it too.
- A frontier is checked before it is written to. Above CHECKED_BELOW bytes that would take too long: what is damaged
  there is found when its row is read.
- The manifest gets the newest format before a frontier is upgraded, so that no earlier version writes to it.
- URLs may be in PostgreSQL and pages in an object store instead (crawler/storage/opening.py): then there are no such
  files, and what needs some gets copies in a temporary folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property, partial
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from crawler.errors import Corrupt, UsageError
from crawler.metrics.counters import Tally
from crawler.settings import RETIRED, Settings
from crawler.storage import manifest
from crawler.storage.database import PRIVATE, retry_storage, storage_errors
from crawler.storage.frontier.base import FrontierReader
from crawler.storage.frontier.joined import join
from crawler.storage.frontier.sqlite import SqliteFrontier
from crawler.storage.integrity import frontier_faults, lost_commits
from crawler.storage.manifest import FORMAT, MANIFEST, Manifest, rebuild_hint
from crawler.storage.opening import FRONTIER, frontier_path, in_bucket, in_postgres, open_pages
from crawler.storage.pages.base import Store
from crawler.system.invocation import called
from crawler.system.logs import open_log

if TYPE_CHECKING:
    from crawler.storage.postgres.crawl import PostgresCrawl
    from crawler.storage.postgres.frontier import PostgresFrontier
    from crawler.storage.postgres.reader import PostgresReader

CHECKED_BELOW = 256 * 1024 * 1024
MOST_PART_COPIES = 64


def repair_hint(path: Path) -> str:
    """What to do about a damaged crawl in `path`."""
    return f"restore it from a backup, or {rebuild_hint(path)}"


class CrawlFiles:
    """The manifest of a crawl and the files that it names."""

    def __init__(self, path: Path, told: Manifest) -> None:
        self.path = path
        self.manifest = told
        self._access: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The settings of the last run. Raises Corrupt."""
        try:
            kept = {key: value for key, value in self.manifest.settings.items() if key not in RETIRED}
            return msgspec.convert(kept, Settings)
        except msgspec.ValidationError as error:
            raise Corrupt(f"{self.path / MANIFEST} is damaged ({error}); {rebuild_hint(self.path)}") from error

    @property
    def access(self) -> Settings:
        """The settings by which the database and the object store are reached: those of `use_access`, or of the last
        run."""
        return self._access or self.settings

    @property
    def patience(self) -> float:
        """For how many seconds this process waits for a database or an object store that is away: 0 where it only
        reads the crawl."""
        return 0.0 if self._access is None else self._access.disk_wait

    def use_access(self, settings: Settings) -> None:
        """Reach the database and the object store by these settings from now on."""
        self._access = settings
        self.__dict__.pop("postgres", None)

    @cached_property
    def postgres(self) -> PostgresCrawl | None:
        """The URLs of the crawl in PostgreSQL; None where they are in files. Raises UsageError."""
        return in_postgres(self.access, self.manifest.seed)

    def change_manifest(self, **changes: object) -> None:
        """Store the manifest with these fields changed, in the newest format. Raises StorageError."""
        self.manifest = msgspec.structs.replace(self.manifest, **changes, format=FORMAT)
        manifest.write(self.path, self.manifest)

    @property
    def moving(self) -> bool:
        """Whether rows are being moved between the files of its shards, or there are no files yet."""
        return not self.manifest.layout

    def check_to_write(self) -> None:
        """Check the frontiers before a run. Raises Corrupt, whose message has the fault and what to do."""
        for path in self.frontier_files():
            if path.stat().st_size < CHECKED_BELOW:
                self._check(path)
        with closing(self.open_frontiers()) as reader:
            tally, rows = reader.tally(), reader.count()
        if self.manifest.layout and rows != tally.queued:
            raise Corrupt(
                f"{self.path} is damaged (it has {rows} URLs, but its tally says {tally.queued}); "
                + repair_hint(self.path)
            )

    def _check(self, path: Path) -> None:
        """Raises Corrupt for a fault in a frontier's file. Lost commits are only logged: the rest is consistent."""
        for fault in frontier_faults(path, self.manifest.seed, self.moving, for_run=True):
            raise Corrupt(f"{fault}; {repair_hint(self.path)}")
        if lost := lost_commits(path):
            open_log().warning("lost commits", file=str(path), commits=lost, hint="what is missing is fetched again")

    def frontier(self, shard: int = 0) -> SqliteFrontier | PostgresFrontier:
        """Open the frontier of a shard to write; checks it first. Raises StorageError."""
        if self.manifest.format < FORMAT:  # first, so that no earlier version writes to a file that has been upgraded
            self.change_manifest()
        if self.postgres is not None:
            return retry_storage(partial(self.postgres.open, shard), self.patience)
        path = self._frontier_path(shard)
        with storage_errors(path):
            path.parent.mkdir(PRIVATE, exist_ok=True)
        if path.exists() and path.stat().st_size < CHECKED_BELOW:
            self._check(path)
        return SqliteFrontier(path, seed=self.manifest.seed)

    def open_frontiers(self, lenient: bool = False) -> FrontierReader:
        """The frontiers of all shards as one, to read, also while another process writes; `lenient` skips damaged rows.
        Raises UsageError, Corrupt."""
        if self.postgres is None:
            return join([self.reader(path, lenient) for path in self.frontier_files()])
        readers = self.postgres.readers()
        if not readers:
            raise self._not_started()
        return join(readers)

    def reader(self, path: Path, lenient: bool = False) -> SqliteFrontier:
        """Open one frontier file to read. Raises StorageError."""
        return SqliteFrontier(path, True, self.manifest.seed, lenient)

    def shard_openers(self) -> list[Callable[[], SqliteFrontier | PostgresReader]]:
        """Functions that open the frontier of one shard each to read, in the order of the shards. Raises UsageError,
        Corrupt."""
        if self.postgres is None:
            return [partial(self.reader, path) for path in self.frontier_files()]
        rows = self.postgres
        return [partial(self._shard_reader, rows, shard) for shard in rows.shards()]

    @staticmethod
    def _shard_reader(rows: PostgresCrawl, shard: int) -> PostgresReader:
        return rows.readers([shard])[0]

    def part_files(self) -> list[Path]:
        """The files of all parts."""
        return sorted((self.path / "parts").glob("*.sqlite"))

    def frontier_files(self) -> list[Path]:
        """The existing files of all frontiers, for readers; none where their rows are in PostgreSQL. Raises UsageError,
        Corrupt."""
        if self.postgres is not None:
            return []
        needed = [self._frontier_path(shard) for shard in range(self.manifest.shards)]
        if not any(path.exists() for path in needed):
            raise self._not_started()
        return sorted({*(path for path in needed if path.exists()), *self.path.glob(f"shard-*/{FRONTIER}")})

    def _not_started(self) -> UsageError:
        return UsageError(f"{self.path} has not been started yet; start it: {called()} resume {self.path}")

    @contextmanager
    def frontier_snapshot(self, give_up_at: float = inf) -> Iterator[list[Path]]:
        """Context manager: the frontiers as files to query: their own, or copies of the rows in PostgreSQL, which
        may take until a time on the monotonic clock. Raises UsageError, StorageError."""
        if self.postgres is None:
            yield self.frontier_files()
            return
        shards = self.postgres.shards()
        if not shards:
            raise self._not_started()
        with TemporaryDirectory(prefix="crawler-") as folder:
            files = [frontier_path(Path(folder), shard) for shard in range(max(shards) + 1)]
            self.postgres.copy_to(files, give_up_at)
            yield files

    @contextmanager
    def newest_parts(self) -> Iterator[Path]:
        """Context manager: a folder with the parts of the newest run: their own, or copies of the newest objects."""
        pages = in_bucket(self.access, self.path, self.manifest.seed)
        if pages is None:
            yield self.path / "parts"
            return
        with TemporaryDirectory(prefix="crawler-") as folder:
            pages.copy_newest(Path(folder), MOST_PART_COPIES)
            yield Path(folder)

    def remove_elsewhere(self) -> None:
        """Remove what the crawl has outside its directory: its rows in PostgreSQL, its pages in an object store. Raises
        StorageError, UsageError."""
        if self.postgres is not None:
            self.postgres.remove()
        if (pages := in_bucket(self.access, self.path, self.manifest.seed)) is not None:
            pages.remove()

    def _frontier_path(self, shard: int) -> Path:
        """The file of a frontier. Raises Corrupt where it is missing or empty."""
        path = frontier_path(self.path, shard)
        if self.manifest.layout and shard < self.manifest.shards:
            if not path.exists():
                raise Corrupt(f"{path} is missing; {repair_hint(self.path)}")
            if path.stat().st_size == 0:
                raise Corrupt(f"{path} is damaged (it is empty); {repair_hint(self.path)}")
        return path

    def shards_there(self) -> list[int]:
        """The shards that have rows, in this layout or an earlier one."""
        if self.postgres is not None:
            return self.postgres.shards()
        return sorted(int(path.parent.name.removeprefix("shard-")) for path in self.path.glob(f"shard-*/{FRONTIER}"))

    def tally(self) -> Tally:
        """What is settled, also while another process works on it; all zero before the first run has begun."""
        return retry_storage(self._read_tally, self.patience) if self.manifest.runs else Tally()

    def _read_tally(self) -> Tally:
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
        return open_pages(self.access, self.path, self.manifest.seed, disk_wait)
