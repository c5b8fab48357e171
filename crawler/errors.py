"""Our own mistakes and those of whoever configured us. Trouble on the network is never an exception: it is a value.

CrawlerError
├── UsageError       a command line, configuration, URL or path that cannot be used     exit 2
├── WorkersLost      processes that fetch die faster than they are replaced             exit 3
├── OutOfMemory      no memory is left for what the whole crawl needs                   exit 3
└── StorageError     disk, store, frontier or lock                                      exit 3
    ├── Locked       another process works on the directory
    ├── Corrupt      a file of the crawl cannot be read as what it should be
    ├── DiskFull     no space is left
    ├── Busy         somebody else has locked a file of the crawl
    └── MemoryShort  no memory was left to write with

Messages are one line and say what to do.
"""

from __future__ import annotations

NO_MEMORY_LEFT = (
    "no memory is left; choose a lower --concurrency or --processes, or raise the limit (ulimit -v, the container's), "
    "then resume"
)


class CrawlerError(Exception):
    """Base of all errors of this package; `exit_code` is what the command line ends with."""

    exit_code = 2


class UsageError(CrawlerError):
    """Something given to us cannot be used."""

    exit_code = 2


class WorkersLost(CrawlerError):
    """The engine cannot keep its workers alive; what was fetched is kept."""

    exit_code = 3


class OutOfMemory(CrawlerError):
    """No memory is left, and not for one page only; what was fetched is kept."""

    exit_code = 3

    def __init__(self, text: str = NO_MEMORY_LEFT) -> None:
        super().__init__(text)


class StorageError(CrawlerError):
    """The crawl cannot be kept or read back."""

    exit_code = 3


class Locked(StorageError):
    """Another process works on this directory."""


class Corrupt(StorageError):
    """A file of the crawl is damaged."""


class DiskFull(StorageError):
    """No space is left where the crawl is kept."""


class Busy(StorageError):
    """A file of the crawl is locked by somebody who is no crawler."""


class MemoryShort(StorageError):
    """No memory was left to write with; nothing was written."""
