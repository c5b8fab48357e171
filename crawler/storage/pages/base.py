"""Where pages go: the interface of every store.

Rules:
- A store is a folder of parts. A part has one writer in its whole life, in one process; a writer that opens gets a new
  part.
- `put` names the record at once by a position; it may keep it in memory. After `flush` returns, all that was put before
  is on disk. A frontier commit that names (part, position) may only follow that flush.
- A record that no settled row of the frontier names does not exist: readers never see it, `sweep` removes it.
- Bodies are stored decoded (no content coding), cut at the cap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec

from crawler.fetch.base import Headers


class Page(msgspec.Struct, frozen=True):
    """One stored response. `fetched_at` is Unix time, `seconds` how long it took and `first_byte` how long until its
    head was there, `digest` the URL's 16-byte term."""

    url: str
    status: int
    headers: Headers
    fetched_at: float
    seconds: float
    content_type: str
    charset: str
    digest: bytes
    body: bytes
    truncated: str = ""
    noindex: bool = False
    first_byte: float = 0.0


class Writer(Protocol):
    """Appends pages to one part. `put` may be called by one thread at a time, `flush` by another beside it."""

    part: str

    def put(self, page: Page) -> int:
        """Take a page; its position in the part (> 0)."""

    async def aput(self, page: Page) -> int:
        """`put` for an event loop: never blocks it on a disk."""

    def flush(self) -> None:
        """Make everything put so far durable against a kill. Raises StorageError."""

    @property
    def buffered(self) -> int:
        """Bytes of bodies taken and not yet flushed."""

    def close(self) -> None:
        """Flush, close, release the part's lock; an empty part vanishes."""


class Store(Protocol):
    """The pages of a crawl, in parts with one writer each."""

    def writer(self, part: str) -> Writer:
        """Open a new part. Raises Locked where another process writes it."""

    def parts(self) -> list[str]:
        """The names of all parts, sorted."""

    def read(self, part: str, position: int) -> Page:
        """One page. Raises KeyError where it is missing, Corrupt where it is damaged."""

    def pages(self, part: str) -> Iterator[tuple[int, Page]]:
        """All records of a part, in order of position, those that do not exist included. Raises Corrupt."""

    def records(self, part: str) -> Iterator[tuple[int, Page | None]]:
        """The same of a part that may be damaged: None for each record that cannot be read."""

    def last(self, part: str) -> int:
        """The highest position ever put into a part that still lives there; 0 for an empty one."""

    def unclosed(self) -> list[str]:
        """The parts whose writer died before it closed them."""

    def sweep(self, named: Mapping[str, Mapping[int, str]]) -> int:
        """Remove every record of these parts whose position is not among `named[part]`; how many. A part that is left
        empty vanishes. Raises Locked while a writer lives."""
