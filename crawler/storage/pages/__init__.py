"""Page stores. The setting `store` names one; its module is imported on use."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawler.storage.pages.base import Store

STORES = {"sqlite": "SqliteStore", "files": "FilesStore"}
"""The class of each store, in the module of this package with that name."""


def open_store(kind: str, folder: Path, disk_wait: float = 0.0) -> Store:
    """The store of a crawl in its folder; `kind` is one of STORES. Raises StorageError.

    `disk_wait`: seconds that `put` of a store that writes at once waits for space on a full disk.
    """
    module = import_module(f"crawler.storage.pages.{kind}")
    store: Store = getattr(module, STORES[kind])(folder / "parts", disk_wait)
    return store
