"""Where pages are kept. A store is named by a word of the configuration; its module is imported when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawler.store.base import Store

STORES = ("sqlite", "files")


def open_store(kind: str, shard: Path) -> Store:
    """The store of one shard folder; `kind` is one of STORES. Raises StorageError."""
    if kind == "files":
        from crawler.store.files import FilesStore

        return FilesStore(shard / "parts")
    from crawler.store.sqlite import SqliteStore

    return SqliteStore(shard / "parts")
