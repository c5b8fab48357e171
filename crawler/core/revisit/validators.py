"""The validators of a stored page (RFC 9110 8.8), and which pages may be asked for with them.

Rules:
- Only a page that is stored whole and whose links were read may be confirmed by a 304: the answer then stands for the
  stored body and its links.
- A validator is sent as it came. One that could not be sent in a header, or is suspiciously long, counts as absent.
- A server that lies would be believed for ever, so every `revalidate_every`-th fetch of a page is unconditional.
- A retry is unconditional, too: the stored page may be what failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from crawler.core.reasons import Reason

LONGEST = 512
"""Characters of a validator. Real ones have less than 100."""
OK = 200


class Validators(NamedTuple):
    """What a server sent to recognise a version of a page: `etag` and `last_modified`, "" where it sent none."""

    etag: str = ""
    last_modified: str = ""

    @property
    def request_headers(self) -> tuple[tuple[str, str], ...]:
        """The headers of a conditional request (RFC 9110 13.1): both, the server then uses the stronger one."""
        pairs = (("If-None-Match", self.etag), ("If-Modified-Since", self.last_modified))
        return tuple(pair for pair in pairs if pair[1])


def validators_of(headers: Iterable[tuple[str, str]]) -> Validators:
    """The validators among the headers of a response; the first of each kind counts."""
    found: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in ("etag", "last-modified"):
            found.setdefault(lower, value.strip())
    return Validators(_sendable(found.get("etag", "")), _sendable(found.get("last-modified", "")))


def _sendable(value: str) -> str:
    return value if value.isascii() and value.isprintable() and len(value) <= LONGEST else ""


def stands_for_page(reason: Reason, status: int, part: str, truncated: str, unread: str) -> bool:
    """Whether a settled URL has a page that a 304 may confirm."""
    return reason is Reason.OK and status == OK and bool(part) and not truncated and not unread


def is_conditional(attempt: int, checks: int, every: int) -> bool:
    """Whether this attempt goes out with validators; `checks` counts the 304s since the body came last."""
    return attempt == 1 and checks < every - 1


def updated(stored: Iterable[tuple[str, str]], confirmed: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The stored headers of a page, updated by those of a 304 (RFC 9111 3.2). What describes the coding or the length
    of a body is left out, because a stored body is decoded; so are the cookies that came with it."""
    news = [(name, value) for name, value in confirmed if not _of_message(name)]
    renewed = {name.lower() for name, _ in news}
    kept = [
        (name, value)
        for name, value in stored
        if name.lower() not in renewed and name.lower() not in _NOT_KEPT and not _of_connection(name)
    ]
    return (*kept, *news)


_NOT_KEPT = frozenset({"content-encoding", "content-length", "set-cookie"})


def _of_message(name: str) -> bool:
    """Whether a header of a 304 is about that message, not about the page."""
    return name.lower().startswith("content-") or _of_connection(name)


def _of_connection(name: str) -> bool:
    return name.lower() in ("connection", "keep-alive", "transfer-encoding", "trailer", "upgrade", "te")
