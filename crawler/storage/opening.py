"""Opens the frontiers and pages of a crawl where its settings say that they are: files, PostgreSQL, an object store.

Rules:
- What only some crawls need (psycopg, obstore) is imported for those, and a package that is missing is named.
- A crawl is the same wherever its rows are: all that depends on the place is here and in `crawl_files`.
"""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from crawler.core.messages import Budget
from crawler.errors import UsageError
from crawler.fetch.secrets import resolve_reference
from crawler.settings import Settings
from crawler.settings.places import S3
from crawler.storage import manifest
from crawler.storage.frontier.base import FrontierReader, Left
from crawler.storage.frontier.sqlite import SqliteFrontier
from crawler.storage.generations import CRAWL, folder_of, root_of
from crawler.storage.pages import open_store
from crawler.storage.pages.base import Store

if TYPE_CHECKING:
    from crawler.storage.pages.s3 import S3Pages
    from crawler.storage.postgres.crawl import PostgresCrawl
    from crawler.storage.postgres.frontier import PostgresFrontier

FRONTIER = "frontier.sqlite"
EXTRA = {"psycopg": "postgres", "obstore": "s3"}


class ShardReader(FrontierReader, Protocol):
    """The frontier of one shard, to read."""

    def left(self) -> Left:
        """The figures of the owed links that a resume needs."""

    def budgets(self, host: str) -> tuple[Budget, ...]:
        """The budgets of a host, one for each pattern."""


def frontier_path(folder: Path, shard: int) -> Path:
    """The frontier file of a shard in the folder of its crawl."""
    return folder / f"shard-{shard:04d}" / FRONTIER


def in_postgres(settings: Settings, seed: int) -> PostgresCrawl | None:
    """The crawl with this seed in PostgreSQL; None where its frontiers are files. Raises UsageError."""
    if settings.frontier == "sqlite":
        return None
    _need("psycopg", "frontier = postgresql://")
    from crawler.storage.postgres.crawl import PostgresCrawl
    from crawler.storage.postgres.session import Database

    return PostgresCrawl(Database(settings.frontier, settings.frontier_password), seed)


def open_frontier(settings: Settings, folder: Path, seed: int, shard: int) -> SqliteFrontier | PostgresFrontier:
    """Open the frontier of a shard to write. Raises StorageError, UsageError."""
    rows = in_postgres(settings, seed)
    return SqliteFrontier(frontier_path(folder, shard), seed=seed) if rows is None else rows.open(shard)


def read_frontier(settings: Settings, folder: Path, seed: int, shard: int) -> ShardReader:
    """Open the frontier of a shard to read. Raises StorageError, UsageError."""
    rows = in_postgres(settings, seed)
    if rows is None:
        return SqliteFrontier(frontier_path(folder, shard), read_only=True, seed=seed)
    return rows.readers([shard])[0]


def in_bucket(settings: Settings, folder: Path, seed: int) -> S3Pages | None:
    """The pages of the crawl in `folder`, which has this seed, in an object store; None where they are files. Raises
    UsageError, StorageError."""
    if not settings.store.startswith(S3):
        return None
    _need("obstore", "store = s3://")
    from crawler.storage.pages.bucket import Bucket
    from crawler.storage.pages.s3 import S3Pages

    name, _, prefix = settings.store.removeprefix(S3).partition("/")
    bucket = Bucket(
        name,
        f"{prefix.rstrip('/')}/{_name_of(seed)}".lstrip("/"),
        settings.store_endpoint,
        settings.store_region,
        resolve_reference(settings.store_key, "store_key"),
        resolve_reference(settings.store_secret, "store_secret"),
    )
    return S3Pages(bucket, partial(_generation_in_bucket, settings, folder))


def _generation_in_bucket(settings: Settings, folder: Path, number: str) -> S3Pages:
    """The pages of another generation of a crawl, as the one in `folder` names it. Raises KeyError where there is
    none."""
    there = folder_of(root_of(folder), int(number)) if number.isdecimal() else None
    if there is None or not (there / CRAWL).is_file():
        raise KeyError(number)
    pages = in_bucket(settings, there, manifest.read(there).seed)
    if pages is None:
        raise KeyError(number)
    return pages


def open_pages(settings: Settings, folder: Path, seed: int, disk_wait: float = 0.0) -> Store:
    """The store of the pages of the crawl with this seed; `disk_wait` as in `open_store`. Raises StorageError,
    UsageError."""
    return in_bucket(settings, folder, seed) or open_store(settings.store, folder, disk_wait)


def _name_of(seed: int) -> str:
    """The folder of a crawl in an object store: it tells crawls apart, and does not tell the seed."""
    return blake2b(seed.to_bytes(8, "big"), digest_size=8).hexdigest()


def check_packages(settings: Settings) -> None:
    """Raises UsageError where a package is missing that these settings need, before a crawl begins."""
    if settings.frontier != "sqlite":
        _need("psycopg", "frontier = postgresql://")
    if settings.store.startswith(S3):
        _need("obstore", "store = s3://")


def _need(package: str, what: str) -> None:
    if find_spec(package) is None:
        raise UsageError(f"{what} needs the package {package}: pip install 'crawler-engines[{EXTRA[package]}]'")
