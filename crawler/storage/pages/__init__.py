"""Where pages are kept. A store is named by a word of the configuration; its module is imported when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawler.storage.pages.base import Store

STORES = ("sqlite", "files")


def open_store(kind: str, folder: Path, disk_wait: float = 0.0) -> Store:
    """The store of a crawl in its folder; `kind` is one of STORES. Raises StorageError.

    `disk_wait`: seconds that `put` of a store that writes at once waits for space on a full disk.
    """
    if kind == "files":
        from crawler.storage.pages.files import FilesStore

        return FilesStore(folder / "parts", disk_wait)
    from crawler.storage.pages.sqlite import SqliteStore

    return SqliteStore(folder / "parts")
