"""Passes each page to the embedding program once it is settled, in addition to storing it or instead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec.structs import replace

from crawler.core.messages import Actions, Settled
from crawler.storage.generations import is_elsewhere
from crawler.storage.pages.base import Page, Writer

MAX_WAITING = 100


class TapWriter:
    """Forwards pages to the wrapped writer and keeps them in memory until they are settled."""

    def __init__(self, behind: Writer, unsettled: dict[int, Page]) -> None:
        self.part = behind.part
        self._behind = behind
        self._unsettled = unsettled

    def put(self, page: Page) -> int:
        """Forward a page and keep it."""
        position = self._behind.put(page)
        self._unsettled[position] = page
        return position

    async def aput(self, page: Page) -> int:
        """`put` on an event loop."""
        position = await self._behind.aput(page)
        self._unsettled[position] = page
        return position

    def flush(self) -> None:
        """Delegates to the wrapped writer."""
        self._behind.flush()

    @property
    def buffered(self) -> int:
        """Delegates to the wrapped writer."""
        return self._behind.buffered

    def close(self) -> None:
        """Delegates to the wrapped writer."""
        self._behind.close()


class NullWriter:
    """A writer that stores nothing: for programs that want pages and no directory."""

    buffered = 0

    def __init__(self, part: str) -> None:
        self.part = part
        self._position = 0

    def put(self, page: Page) -> int:
        """Count the page."""
        self._position += 1
        return self._position

    async def aput(self, page: Page) -> int:
        """Count the page."""
        return self.put(page)

    def flush(self) -> None:
        """Nothing to write."""

    def close(self) -> None:
        """Nothing to close."""


class PageStream:
    """Wraps writers in TapWriters. `pages` are settled and wait for the consumer; at MAX_WAITING the crawl waits.

    `read` reads a page, by part and position, that another process or generation has written.
    """

    def __init__(
        self, behind: Callable[[str], Writer] = NullWriter, read: Callable[[str, int], Page] | None = None
    ) -> None:
        self.pages: deque[Page] = deque()
        self._behind = behind
        self._read = read
        self._unsettled: dict[int, Page] = {}

    def writer(self, part: str) -> Writer:
        """Open a part, wrapped."""
        return TapWriter(self._behind(part), self._unsettled)

    def full(self) -> bool:
        """Whether the consumer is behind: MAX_WAITING pages wait."""
        return len(self.pages) >= MAX_WAITING

    def observe(self, actions: Actions) -> None:
        """Move settled pages to `pages`. The page of an attempt that will be retried is dropped."""
        for end in actions.settled:
            if end.part:
                self.pages.append(self._take(end))
        for link in actions.retries:
            unsettled = list(self._unsettled.items())  # other threads may add to it
            stale = [position for position, page in unsettled if page.url == link.url]
            for position in stale:
                del self._unsettled[position]

    def _take(self, end: Settled) -> Page:
        elsewhere = is_elsewhere(end.part)
        if self._read is not None and (elsewhere or end.position not in self._unsettled):
            page = self._read(end.part, end.position)
        else:
            page = self._unsettled.pop(end.position)
        return replace(page, depth=end.depth)
