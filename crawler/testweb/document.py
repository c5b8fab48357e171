"""One URL of a web: its meaning (`Document`), a hyperlink (`Anchor`), the bytes on the wire (`Answer`).

The oracle reads documents, the server sends answers; only `answer_for` turns one into the other.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

import brotli
import msgspec

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Fault = Literal["", "truncated", "reset", "hang", "stall", "refused", "flood"]
"""What is wrong with an answer on the wire.

truncated: half the body, then close · reset: no answer, RST · hang: no answer at all · stall: a body of one byte a
second · flood: more header fields than a client accepts · refused: no listener at the host's address, so it applies to
every URL of the host.
"""


class Anchor(msgspec.Struct, frozen=True):
    """A hyperlink: `href` as written, `url` the canonical URL a crawler must derive ("": none that it may follow)."""

    href: str
    url: str
    rel: str = ""
    tag: str = "a"


class Document(msgspec.Struct, frozen=True):
    """The answer to one attempt at one URL, before any coding. `delay` and `retry_after` are in seconds.

    `target` is the canonical URL of `location` ("": none that can be crawled); `links` are those that a crawler that
    obeys nofollow follows; with `retry_date`, `retry_after` is sent as a date, so it is slightly longer. The body takes
    `drip` seconds. The connection is closed after `keep` answers (0: no limit).
    """

    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    body: bytes = b""
    coding: str = ""
    location: str = ""
    target: str = ""
    retry_after: int | None = None
    retry_date: bool = False
    fault: Fault = ""
    delay: float = 0.0
    drip: float = 0.0
    keep: int = 0
    links: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """Bytes for a client, to be sent `delay` seconds after the request. The server adds a date for Retry-After."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    delay: float = 0.0
    drip: float = 0.0
    keep: int = 0
    fault: Fault = ""
    retry_after: int | None = None
    retry_date: bool = False


class AnyWeb(Protocol):
    """The interface of a web for the server, the oracle and the referee."""

    scheme: str

    @property
    def names(self) -> Sequence[str]:
        """The host names, in a fixed order."""

    @property
    def seeds(self) -> tuple[str, ...]:
        """The seed URLs of a crawl."""

    def document(self, host: str, path: str, attempt: int = 1) -> Document:
        """The document for a GET of `path` (with its query) on `host`. Raises KeyError for an unknown host."""

    def answer(self, host: str, path: str, attempt: int = 1, accept: str = ...) -> Answer:
        """The same as bytes, for a client with this Accept-Encoding."""

    def allowed(self, host: str, path: str) -> bool:
        """Whether robots.txt allows this path."""

    def is_robots(self, host: str, path: str) -> bool:
        """Whether a crawler reads the host's robots.txt at this path."""

    def crawl_delay(self, host: str) -> float:
        """Crawl-delay of the host's robots.txt, in seconds."""

    def closed(self, host: str) -> bool:
        """Whether the host's robots.txt is never available, so that no page may be fetched."""


ACCEPT = "gzip, deflate, br, zstd"

_CODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, 1, mtime=0),
    "deflate": lambda body: zlib.compress(body, 1),
    "br": lambda body: bytes(brotli.compress(body, quality=1)),
    "zstd": lambda body: bytes(zstd.compress(body, 1)),
}


def answer_for(document: Document, accept: str = ACCEPT) -> Answer:
    """A document as bytes, coded only if the client accepts that coding (RFC 9110 section 12.5.3)."""
    headers = [("Content-Type", document.content_type)]
    body = document.body
    if document.coding and document.coding in accept:
        body = _CODERS[document.coding](body)
        headers.append(("Content-Encoding", document.coding))
    if document.location:
        headers.append(("Location", document.location))
    if document.retry_after is not None and not document.retry_date:
        headers.append(("Retry-After", str(document.retry_after)))
    return Answer(
        status=document.status,
        headers=tuple(headers),
        body=body,
        delay=document.delay,
        drip=document.drip,
        keep=document.keep,
        fault=document.fault,
        retry_after=document.retry_after,
        retry_date=document.retry_date,
    )
