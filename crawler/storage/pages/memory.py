"""A store in memory: for tests and for programs that want pages and no directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from crawler.fetch.base import Headers
from crawler.storage.pages.base import Page


class MemoryWriter:
    """Adds pages to a dictionary of its store."""

    buffered = 0

    def __init__(self, part: str, pages: dict[int, Page]) -> None:
        self.part = part
        self._pages = pages

    def put(self, page: Page) -> int:
        """Add a page; returns its position."""
        position = len(self._pages) + 1
        self._pages[position] = page
        return position

    async def aput(self, page: Page) -> int:
        """As `put`."""
        return self.put(page)

    def flush(self) -> None:
        """Nothing to write."""

    def close(self) -> None:
        """Nothing to close."""


class MemoryStore:
    """Parts as dictionaries."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[int, Page]] = {}

    def writer(self, part: str) -> MemoryWriter:
        """Open a new part."""
        return MemoryWriter(part, self._parts.setdefault(part, {}))

    def parts(self) -> list[str]:
        """The names of all parts with records."""
        return sorted(part for part, pages in self._parts.items() if pages)

    def holds(self, part: str) -> bool:
        """Whether there is such a part."""
        return bool(self._parts.get(part))

    def read(self, part: str, position: int) -> Page:
        """One page."""
        return self._parts[part][position]

    def head(self, part: str, position: int) -> tuple[Headers, str]:
        """The headers of a page, which has its body itself."""
        return self._parts[part][position].headers, ""

    def close(self) -> None:
        """Nothing to close."""

    def pages(self, part: str) -> Iterator[tuple[int, Page]]:
        """All records of a part."""
        yield from sorted(self._parts[part].items())

    def records(self, part: str) -> Iterator[tuple[int, Page | None]]:
        """As `pages`: no record is damaged."""
        yield from self.pages(part)

    def last(self, part: str) -> int:
        """The highest position."""
        return max(self._parts[part], default=0)

    def unclosed(self) -> list[str]:
        """None: parts do not outlive their process."""
        return []

    def sweep(self, named: Mapping[str, Mapping[int, str]]) -> int:
        """Remove the records that are not named."""
        removed = 0
        for part, positions in named.items():
            for position in set(self._parts[part]) - set(positions):
                del self._parts[part][position]
                removed += 1
        return removed
