"""Parses the chunked transfer coding, once for all clients (RFC 9112 section 7.1).

Rules:
- Client libraries agree on well-formed chunks only: each tolerates other deviations. So they hand over the raw bytes,
  and the same bytes are the same body, or the same error, in every client, in whatever pieces they arrive.
- Tolerated: extensions (ignored), blanks after a size, line ends without CR. A size has at most 15 digits: libcurl
  takes two more, llhttp any number of zeros.
- The bytes between two blocks of data are bounded, and so are the trailers, which are ignored. Trailers must have the
  form of fields: libcurl closes the connection on others.
- A chunk costs 0.4 us however small it is, so their number is bounded too: 10 MiB in chunks of a byte would take 5 s.
"""

from __future__ import annotations

import re

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import FetchError

MOST_BETWEEN = 4_096
"""The most bytes of a line before a chunk, and of all trailers together."""
MOST_CHUNKS = 2_000_000
"""The most chunks of a body, including the empty last one."""

_SIZE = rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?\r?\n"
_FIRST = re.compile(_SIZE)
_NEXT = re.compile(rb"\r?\n" + _SIZE)
_TRAILERS = re.compile(rb"(?:[^\0-\x20:\x7f]+:[^\r\n\0]*\r?\n)*\r?\n")
_ENDS = {_FIRST: (b"0\n", b"\n"), _NEXT: (b"\n0\n", b"0\n", b"\n"), _TRAILERS: (b"\n", b"\n\n", b":\n\n")}


class Chunks:
    """One body. `done`: its last chunk has come; `excess_data`: bytes came after it; `error`: why the chunks are
    invalid, or None."""

    __slots__ = ("_count", "_expected", "_left", "_rest", "done", "error", "excess_data")

    def __init__(self) -> None:
        self.done = False
        self.excess_data = False
        self.error: FetchError | None = None
        self._expected = _FIRST
        self._left = 0
        self._rest = b""
        self._count = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The blocks of body data in the next bytes; none after the last chunk or an error."""
        blocks: list[bytes] = []
        if self.done or self.error:
            self.excess_data |= self.done and bool(data)
            return blocks
        data, self._rest = self._rest + data, b""
        position, end, left, count = 0, len(data), self._left, self._count
        while position < end:  # a chunk may be a byte: each turn counts
            if left:
                block = data[position : position + left]
                blocks.append(block)
                position += len(block)
                left -= len(block)
                continue
            match = self._expected.match(data, position, position + MOST_BETWEEN)
            if match is None:
                self._keep(data[position:])
                break
            position = match.end()
            if self._expected is _TRAILERS:
                self.done, self.excess_data = True, position < end
                break
            left = int(match[1], 16)
            count += 1
            if count > MOST_CHUNKS:
                self.error = FetchError(FetchErrorKind.PROTOCOL, f"more than {MOST_CHUNKS} chunks")
                break
            self._expected = _NEXT if left else _TRAILERS
        self._left, self._count = left, count
        return blocks

    def _keep(self, rest: bytes) -> None:
        """Keep an incomplete line for the next bytes; sets `error` where no continuation can be valid."""
        self._rest = rest
        if len(rest) >= MOST_BETWEEN or not any(self._expected.fullmatch(rest + end) for end in _ENDS[self._expected]):
            self.error = FetchError(FetchErrorKind.PROTOCOL, f"broken chunks: {rest[:40]!a}")
