"""The interface of every page store.

Rules:
- A store is a folder of parts. A part has exactly one writer ever, in one process; a new writer gets a new part.
- `put` returns the position of the record at once; it may buffer the page. After `flush` returns, all that was put
  before is on disk. A frontier commit that names (part, position) may only follow that flush.
- A record that no settled row of the frontier names does not exist: readers never see it, `sweep` removes it.
- Bodies are stored decoded (no content coding), cut at the cap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from crawler.fetch.base import Headers

if TYPE_CHECKING:
    from turbohtml import Document, Element


class Page(msgspec.Struct, frozen=True):
    """One stored response. `fetched_at` is Unix time, `seconds` the duration of the fetch and `first_byte` that until
    the head was complete, `digest` the 16-byte term of the URL. `truncated` is why the body is not whole ("": it is).
    `depth` counts the links from a seed. A store does not keep it (None): it is the frontier's. `stored_at`
    names the record of another generation that has the same body ("N/PART:POSITION"): then no second copy is stored.

    What is parsed is parsed where it is asked for, once per call. Nothing of it raises for any body. The parser is
    imported then: a process that only stores pages does without its memory.
    """

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
    depth: int | None = None
    stored_at: str = ""

    def header(self, name: str) -> str:
        """The first value of a header, whatever the case of its name; "" where there is none."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), "")

    @property
    def document(self) -> Document | None:
        """The parsed page, see turbohtml; None where the body is no HTML."""
        from crawler.core.page import content
        from crawler.core.page.links import page_headers

        return content.document(self.body, page_headers(self.headers))

    @property
    def title(self) -> str:
        """The text of the first `title`, "" where there is none."""
        from crawler.core.page import content

        return content.title(self.document)

    @property
    def text(self) -> str:
        """What a reader sees of it, without tags, scripts and styles; "" where the body is no text."""
        from crawler.core.page import content
        from crawler.core.page.links import page_headers

        return content.text(self.document, self.body, page_headers(self.headers))

    @property
    def links(self) -> tuple[str, ...]:
        """The distinct http(s) URLs that it links to, in canonical form, in scope or not."""
        from crawler.core.page import content
        from crawler.core.page.links import page_headers

        return content.links(self.body, self.url, page_headers(self.headers))

    def css(self, selector: str) -> list[Element]:
        """The elements that a CSS selector matches, in the order of the page. Raises ValueError for an invalid one."""
        page = self.document
        return list(page.select(selector)) if page is not None else []


class Writer(Protocol):
    """Appends pages to one part. One thread at a time may call `put`, and another may call `flush` meanwhile."""

    part: str

    def put(self, page: Page) -> int:
        """Add a page; returns its position in the part (> 0)."""

    async def aput(self, page: Page) -> int:
        """`put` for an event loop: never blocks it on a disk."""

    def flush(self) -> None:
        """Write all pages put so far, so that they survive a kill. Raises StorageError."""

    @property
    def buffered(self) -> int:
        """Bytes of bodies put and not yet flushed."""

    def close(self) -> None:
        """Flush, close, release the part's lock; removes an empty part."""


class Store(Protocol):
    """The pages of a crawl, in parts with one writer each."""

    def writer(self, part: str) -> Writer:
        """Open a new part. Raises Locked where another process writes it."""

    def parts(self) -> list[str]:
        """The names of all parts, sorted."""

    def holds(self, part: str) -> bool:
        """Whether there is such a part, here or in another generation."""

    def read(self, part: str, position: int) -> Page:
        """One page. Raises KeyError where it is missing, Corrupt where it is damaged. `part` may be one of another
        generation. May keep files open for the next one, see `close`; so only one thread may read."""

    def head(self, part: str, position: int) -> tuple[Headers, str]:
        """The headers of a page, and the record of another generation that has its body ("": it has it itself). Raises
        as `read`."""

    def close(self) -> None:
        """Close the files that `read` has left open. The store may be used again."""

    def pages(self, part: str) -> Iterator[tuple[int, Page]]:
        """All records of a part, in order of position, also those that no row names. Raises Corrupt."""

    def records(self, part: str) -> Iterator[tuple[int, Page | None]]:
        """As `pages`, of a part that may be damaged: None for each record that cannot be read."""

    def last(self, part: str) -> int:
        """The highest position in a part; 0 for an empty one."""

    def unclosed(self) -> list[str]:
        """The parts whose writer has not closed them."""

    def sweep(self, named: Mapping[str, Mapping[int, str]]) -> int:
        """Remove every record of these parts whose position is not in `named[part]`; returns how many. Removes a part
        that is left empty. Raises Locked while a part has a writer."""
