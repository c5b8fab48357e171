"""The files of a crawl directory: which frontiers and parts there are, how they are opened and checked before a run.

Rules:
- The manifest says which files must be there. One that is missing or empty is damage; a file beyond them is left from
  another layout, and readers read it too.
- A frontier is checked before it is written to. Above CHECKED_BELOW bytes that would take too long: what is damaged
  there is found when its row is read.
- The manifest gets the newest format before a frontier is upgraded, so that no earlier version writes to it.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec

from crawler.errors import Corrupt, UsageError
from crawler.metrics.counters import Tally
from crawler.storage import manifest
from crawler.storage.database import PRIVATE, storage_errors
from crawler.storage.frontier.base import FrontierReader
from crawler.storage.frontier.joined import join
from crawler.storage.frontier.sqlite import SqliteFrontier
from crawler.storage.integrity import frontier_faults, lost_commits
from crawler.storage.manifest import FORMAT, Manifest, rebuild_hint
from crawler.storage.pages import open_store
from crawler.storage.pages.base import Store
from crawler.system.invocation import called
from crawler.system.logs import open_log

FRONTIER = "frontier.sqlite"
CHECKED_BELOW = 256 * 1024 * 1024


def repair_hint(path: Path) -> str:
    """What to do about a damaged crawl in `path`."""
    return f"restore it from a backup, or {rebuild_hint(path)}"


class CrawlFiles:
    """The manifest of a crawl and the files that it names."""

    def __init__(self, path: Path, told: Manifest) -> None:
        self.path = path
        self.manifest = told

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

    def frontier(self, shard: int = 0) -> SqliteFrontier:
        """Open the frontier of a shard to write; checks it first. Raises StorageError."""
        path = self._frontier_path(shard)
        if self.manifest.format < FORMAT:  # first, so that no earlier version writes to a file that has been upgraded
            self.change_manifest()
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
            raise UsageError(f"{self.path} has not been started yet; start it: {called()} resume {self.path}")
        return sorted({*(path for path in needed if path.exists()), *self.path.glob(f"shard-*/{FRONTIER}")})

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
        """The shards that have a file, of this layout or an earlier one."""
        return sorted(int(path.parent.name.removeprefix("shard-")) for path in self.path.glob(f"shard-*/{FRONTIER}"))

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


def frontier_path(folder: Path, shard: int) -> Path:
    """The frontier file of a shard in the folder of its crawl."""
    return folder / f"shard-{shard:04d}" / FRONTIER
