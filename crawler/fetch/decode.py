"""Decodes content codings, once for all clients.

Rules:
- `gzip`, `x-gzip`, `deflate` (with the zlib wrapper, and raw as some servers send it), `br`, `zstd`, `identity`; names
  are case-insensitive (RFC 9110 section 8.4.1). At most 2 layers: more is an attack, no site needs it.
- At most `cap` bytes come out, and not much more is ever allocated: each step asks for what is left plus one byte, and
  the extra byte proves that the body was longer.
- gzip and zstd streams may be concatenated (RFC 1952 section 2.2, RFC 8878 section 3.1), at most 1,000 of them. The
  input is fed in pieces: a decompressor copies what follows the end of its stream, which would make many tiny members
  quadratic in the size of the body.
- A stream that fails for lack of memory raises FetchError(RESOURCE_EXHAUSTED): it may be valid.
- The end of the stream and its checksum are checked: an early end is a mark, an invalid stream an error.
- Bytes after a complete stream that do not start another are ignored, as browsers and gzip do (padding is common).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

import brotli

from crawler.core.reasons import NO_MEMORY, FetchErrorKind
from crawler.fetch.base import FetchError
from crawler.fetch.exhaustion import lacks_memory
from crawler.system.memory_shortage import can_allocate

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_LAYERS = 2
MAX_MEMBERS = 1_000
_PIECE = 65_536
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_WINDOW = {int(zstd.DecompressionParameter.window_log_max): 23}  # RFC 9659: at most 8 MiB in HTTP


class Decoded(NamedTuple):
    """A body without content coding; `truncated` is "" or one of the marks of `Response.truncated`."""

    body: bytes
    truncated: str


class _Stream(Protocol):
    """A decompressor of the standard library's shape: `eof` after its last byte, `unused_data` what followed it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: memoryview, max_length: int, /) -> bytes: ...


class _Brotli:
    """brotli.Decompressor with the interface of `_Stream`."""

    unused_data = b""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    @property
    def eof(self) -> bool:
        return bool(self._stream.is_finished())

    def decompress(self, data: memoryview, max_length: int, /) -> bytes:
        return bytes(self._stream.process(data, output_buffer_limit=max_length))


class _Coding(NamedTuple):
    """`open` makes a decompressor for a body that starts with these bytes; `again`: magic bytes of a further stream."""

    open: Callable[[bytes], _Stream]
    again: tuple[bytes, ...] = ()


def _inflater(head: bytes) -> _Stream:
    """RFC 1950 if its two header bytes match, else raw RFC 1951: no encoder starts that with a low nibble of 8."""
    wrapped = head[0] & 0x0F == 8 and (len(head) < 2 or int.from_bytes(head[:2], "big") % 31 == 0)
    return zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)


_GZIP_CODING = _Coding(lambda head: zlib.decompressobj(zlib.MAX_WBITS | 16), (_GZIP,))
_SKIPPABLE = tuple(bytes((0x50 + n, 0x2A, 0x4D, 0x18)) for n in range(16))
_CODINGS = {
    "gzip": _GZIP_CODING,
    "x-gzip": _GZIP_CODING,
    "deflate": _Coding(_inflater),
    "br": _Coding(lambda head: _Brotli()),
    "zstd": _Coding(lambda head: zstd.ZstdDecompressor(options=_ZSTD_WINDOW), (_ZSTD, *_SKIPPABLE)),
}
_BROKEN = (zlib.error, brotli.error, zstd.ZstdError)


def decode(body: bytes, encodings: str, cap: int, truncated: str = "") -> Decoded:
    """Decode the content codings of a body.

    `encodings` is the value of Content-Encoding ("" for none), `cap` the most bytes wanted, `truncated` the mark of the
    raw body. The result is marked "length" where it was cut at `cap`, else as the raw body was, else "disconnect" where
    a stream stopped before its end. Raises FetchError(ENCODING) for an unknown coding, too many layers or members, and
    invalid streams, FetchError(RESOURCE_EXHAUSTED) for lack of memory.
    """
    names = [name for part in encodings.lower().split(",") if (name := part.strip(" \t")) and name != "identity"]
    if not body:
        return Decoded(b"", truncated)
    if len(names) > MAX_LAYERS:
        raise FetchError(FetchErrorKind.ENCODING, f"{len(names)} layers of content coding")
    for name in reversed(names):
        coding = _CODINGS.get(name)
        if coding is None:
            raise FetchError(FetchErrorKind.ENCODING, f"unknown content coding {name[:40]!r}")
        body, mark = _undo_surely(name, body, coding, cap)
        truncated = mark if mark == "length" else truncated or mark
        if not body:
            break
    if len(body) > cap:
        return Decoded(body[:cap], "length")
    return Decoded(body, truncated)


def _undo_surely(name: str, body: bytes, coding: _Coding, cap: int) -> Decoded:
    """`_undo` with one retry: some libraries report a failed allocation as a broken stream. Raises FetchError."""
    try:
        return _undo(body, coding, cap)
    except _BROKEN:
        pass
    try:
        return _undo(body, coding, cap)
    except _BROKEN as error:
        if lacks_memory(error) or not can_allocate():
            raise FetchError(FetchErrorKind.RESOURCE_EXHAUSTED, f"{NO_MEMORY} for {name}") from None
        raise FetchError(FetchErrorKind.ENCODING, f"not {name}: {error}") from None


def _undo(body: bytes, coding: _Coding, cap: int) -> Decoded:
    """Decode one layer."""
    view = memoryview(body)
    stream = coding.open(body[:2])
    blocks: list[bytes] = []
    room, position, members = cap, 0, 1
    while not stream.eof:
        piece = view[position : position + _PIECE]
        if not piece:
            return Decoded(b"".join(blocks), "disconnect")
        position += len(piece)
        block = stream.decompress(piece, room + 1)
        if len(block) > room:
            blocks.append(block[:room])
            return Decoded(b"".join(blocks), "length")
        blocks.append(block)
        room -= len(block)
        if stream.eof:
            position -= len(stream.unused_data)
            if _goes_on(body[position : position + 4], coding.again):
                members += 1
                if members > MAX_MEMBERS:
                    raise FetchError(FetchErrorKind.ENCODING, f"more than {MAX_MEMBERS} concatenated streams")
                stream = coding.open(body[position : position + 2])
    return Decoded(b"".join(blocks), "")


def _goes_on(start: bytes, magics: tuple[bytes, ...]) -> bool:
    """Whether the bytes after a stream start another, or are a truncated start of one."""
    return bool(start) and any(start.startswith(magic) or magic.startswith(start) for magic in magics)
