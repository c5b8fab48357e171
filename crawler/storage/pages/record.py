"""A page as a record of an SQLite part: its row, its checksum, its compressed body.

Rules:
- `checksum` covers the columns FACTS, `digest` the body. Reading a record that does not match raises Corrupt.
- A body is one zstd frame of level 1, or in a file of its own that the column `file` names, or in the record of another
  generation ("N/PART:POSITION" in the same column).
- Parts of format 3 have no checksum.
- The page size of a part is 32 KiB: a usual body then needs no chain of overflow pages of 4 KiB that are each written
  twice (to the WAL, then to the file): 9 us less per body of 30 kB, for a file that is 5 % larger.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from crawler.errors import Corrupt
from crawler.fetch.base import Headers
from crawler.storage.database import (
    columns_there,
    from_sql_text,
    row_checksum,
    to_sql_text,
)
from crawler.storage.pages.base import Page

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SCHEMA = """
CREATE TABLE IF NOT EXISTS page (
    position INTEGER PRIMARY KEY,
    url TEXT NOT NULL,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    fetched_at REAL NOT NULL,
    seconds REAL NOT NULL,
    first_byte REAL NOT NULL,
    content_type TEXT NOT NULL,
    charset TEXT NOT NULL,
    digest BLOB NOT NULL,
    length INTEGER NOT NULL,
    truncated TEXT NOT NULL,
    noindex INTEGER NOT NULL,
    body BLOB,
    file TEXT,
    checksum INTEGER
);
"""
FACTS = (
    *("position", "url", "status", "headers", "fetched_at", "seconds", "first_byte", "content_type", "charset"),
    *("digest", "length", "truncated", "noindex", "file"),
)
"""The columns that the checksum of a record covers, in this order; the digest covers its body. Parts of format 3 have
no checksum."""
INSERT = f"INSERT INTO page ({', '.join(FACTS)}, body, checksum) VALUES ({', '.join('?' * (len(FACTS) + 2))})"
BODIES = "SELECT file, url FROM page WHERE instr(file, '/')"
"""The records of other generations that have bodies of pages in a part, and the URLs of these."""
UNREADABLE = (zstd.ZstdError, OSError, ValueError, TypeError, AttributeError, OverflowError, msgspec.MsgspecError)
"""The errors of decoding a damaged record."""
LEVEL = 1
PAGE_SIZE = 32_768

Compress = Callable[[bytes], bytes]
ReadBody = Callable[[bytes | None, str | None, int], bytes]


def compressor() -> Compress:
    """A function that compresses bodies, for one thread at a time."""
    one = zstd.ZstdCompressor(level=LEVEL)
    return lambda body: one.compress(body, zstd.ZstdCompressor.FLUSH_FRAME)


def decompress(packed: bytes, length: int) -> bytes:
    """A body of `length` bytes. Raises ValueError where it has another length, ZstdError where it is damaged."""
    unpacking = zstd.ZstdDecompressor()
    body: bytes = unpacking.decompress(packed, max_length=length + 1)  # a damaged frame might be huge
    if not unpacking.eof or len(body) != length:
        raise ValueError(f"its body does not have {length} bytes")
    return body


def body_of(packed: bytes | None, file: str | None, length: int, read: Callable[[str, int], Page]) -> bytes:
    """A body: in the row, or in the record of another generation that `file` names and `read` reads. Raises ValueError
    where it is missing."""
    if not file:
        return decompress(packed, length) if packed else b""
    part, _, position = file.rpartition(":")
    try:
        return read(part, int(position)).body
    except KeyError:
        raise ValueError(f"its body, {file}, is missing") from None


def record_row(position: int, page: Page, file: str | None, compress: Compress) -> tuple[object, ...]:
    """The row of a page, for INSERT. `file` names where its body is; None: in the row, compressed."""
    body = compress(page.body) if file is None else None
    facts = (
        position,
        to_sql_text(page.url),
        page.status,
        _as_json(page.headers),
        float(page.fetched_at),
        float(page.seconds),
        float(page.first_byte),
        to_sql_text(page.content_type),
        page.charset,
        page.digest,
        len(page.body),
        page.truncated,
        int(page.noindex),
        file,
    )
    return *facts, body, row_checksum(*facts)


def page_of(part: str, row: Sequence[Any], read_body: ReadBody) -> Page:
    """The page of a row with the columns of `columns_to_read`; `read_body` gets its body, its file and its length.
    Raises Corrupt."""
    *facts, packed, checksum = row
    position, url, status, headers, fetched_at, seconds, first_byte, *more = facts
    content_type, charset, digest, length, truncated, noindex, file = more
    try:
        if checksum is not None and checksum != row_checksum(*facts):
            raise ValueError("it does not match its checksum")
        return msgspec.convert(
            {
                "url": from_sql_text(url),
                "status": status,
                "headers": tuple((name, value) for name, value in json.loads(headers)),
                "fetched_at": fetched_at,
                "seconds": seconds,
                "first_byte": first_byte,
                "content_type": from_sql_text(content_type),
                "charset": charset,
                "digest": digest,
                "body": read_body(packed, file, length),
                "truncated": truncated,
                "noindex": bool(noindex),
            },
            Page,
        )
    except UNREADABLE as error:
        raise Corrupt(f"page {position} of part {part} ({url}) cannot be read: {error}") from error


def head_of(part: str, position: int, row: Sequence[Any]) -> tuple[Headers, str]:
    """The headers of a record and its column `file`, "" where that is empty. Raises Corrupt."""
    headers, file = row
    try:
        return tuple((str(name), str(value)) for name, value in json.loads(headers)), file or ""
    except UNREADABLE as error:
        raise Corrupt(f"page {position} of part {part} cannot be read: {error}") from error


def columns_to_read(connection: sqlite3.Connection) -> str:
    """The columns that `page_of` reads, of a part that may be old."""
    checksum = "checksum" if "checksum" in columns_there(connection, "page") else "NULL"
    return f"{', '.join(FACTS)}, body, {checksum}"


def _as_json(headers: Headers) -> str:
    try:
        return msgspec.json.encode(headers).decode()
    except UnicodeEncodeError:  # JSON in ASCII can escape lone surrogates, JSON in UTF-8 cannot have them
        return json.dumps(headers)
