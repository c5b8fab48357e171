"""The exceptions: bugs, usage errors and local resources. Network errors are not exceptions but values.

CrawlerError
├── UsageError       a command line, configuration, URL or path that cannot be used     exit 2
├── CallbackError    a function of the program raised while the crawl ran             exit 2
├── WorkersLost      worker processes crash faster than they are replaced               exit 3
├── OutOfMemory      no memory is left for what the whole crawl needs                   exit 3
└── StorageError     disk, store, frontier or lock                                      exit 3
    ├── Locked       another process works on the directory
    ├── Corrupt      a file of the crawl is damaged
    ├── DiskFull     no space is left
    ├── Busy         another program has locked a file of the crawl
    ├── Unreachable  the database or the object store does not answer
    └── MemoryShort  too little memory for a write

Messages are one line and name a remedy.
"""

from __future__ import annotations

NO_MEMORY_LEFT = (
    "no memory is left; choose a lower --concurrency or --processes, or raise the limit (ulimit -v, the container's), "
    "then resume"
)


class CrawlerError(Exception):
    """Base of all errors of this package; `exit_code` is the exit code of the command line."""

    exit_code = 2


class UsageError(CrawlerError):
    """A command line, configuration, URL or path cannot be used."""

    exit_code = 2


class CallbackError(CrawlerError):
    """A filter or callback of the program raised; that error is the `__cause__`, unless it was another process's."""

    exit_code = 2


class WorkersLost(CrawlerError):
    """The engine cannot keep its workers alive; what was fetched is kept."""

    exit_code = 3


class OutOfMemory(CrawlerError):
    """The crawl as a whole, not a single page, is out of memory; what was fetched is kept."""

    exit_code = 3

    def __init__(self, text: str = NO_MEMORY_LEFT) -> None:
        super().__init__(text)


class StorageError(CrawlerError):
    """The crawl cannot be written or read back."""

    exit_code = 3


class Locked(StorageError):
    """Another process works on this directory."""


class Corrupt(StorageError):
    """A file of the crawl is damaged."""


class DiskFull(StorageError):
    """No space is left where the crawl is kept."""


class Busy(StorageError):
    """A file of the crawl is locked by another program, not by a crawler."""


class Unreachable(StorageError):
    """The database or the object store does not answer, or cannot work now."""


class MemoryShort(StorageError):
    """Too little memory for a write; nothing was written."""
