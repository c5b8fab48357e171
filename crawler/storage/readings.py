"""What was read of the pages of a generation, on its way to known.sqlite, so that the next one parses none of them.

Rules:
- Each process that fetches appends to a file of its own below `readings/` of its generation: no other process writes to
  it or waits for it. What was read of AT_ONCE pages is encoded and compressed together, because the pages of a site
  share their links: that takes a third of the time and half of the space.
- A block is a hash of the rest, two lengths and a zstd frame. One that is cut or damaged ends its file.
- It is a cache: what a kill or a full disk costs is parsed again. So no error of it is an error of the crawl.
- The next re-crawl moves all of it to known.sqlite (crawler/storage/known_pages.py) and removes the folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
from xxhash import xxh3_64_digest

from crawler.storage.database import PRIVATE, storage_errors
from crawler.storage.pages.record import UNREADABLE, compressor, decompress

FOLDER = "readings"
AT_ONCE = 64
HASH, LENGTH = 8, 4
"""Bytes at the beginning of what is packed: of the hash, and of each length."""


class ReadingRow(NamedTuple):
    """A URL, the digest of its page, and what was read of it, packed."""

    url: str
    digest: bytes
    reading: bytes


class _Block(msgspec.Struct, frozen=True, array_like=True):
    """What was read of some pages: their URLs, their digests and the facts. `read_by` tells the rules of reading."""

    read_by: int
    rows: list[tuple[str, bytes, msgspec.Raw]]


class ReadingWriter:
    """The file of one process; for one thread at a time. `read_by` tells the rules that pages are read by. Does not
    raise: without a file nothing is kept."""

    def __init__(self, folder: Path, read_by: int) -> None:
        self._folder = folder / FOLDER
        self._path = self._folder / f"{os.getpid()}-{os.urandom(4).hex()}"
        self._read_by = read_by
        self._file: BinaryIO | None = None
        self._waiting: list[tuple[str, bytes, msgspec.Struct]] = []
        self._encode = msgspec.msgpack.Encoder().encode
        self._compress = compressor()
        self._failed = False

    def put(self, url: str, digest: bytes, facts: msgspec.Struct) -> None:
        """Keep what was read of a page."""
        if self._failed:
            return
        self._waiting.append((url, digest, facts))
        if len(self._waiting) >= AT_ONCE:
            self._write()

    def close(self) -> None:
        """Write what waits, and close the file."""
        if self._waiting and not self._failed:
            self._write()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _write(self) -> None:
        rows, self._waiting = self._waiting, []
        try:
            content = self._encode((self._read_by, rows))
        except UnicodeEncodeError:  # a header of one of them is no text
            return
        packed = self._compress(content)
        lengths = len(packed).to_bytes(LENGTH, "big") + len(content).to_bytes(LENGTH, "big")
        try:
            self._opened().write(xxh3_64_digest(lengths + packed) + lengths + packed)
        except OSError:
            self._failed = True

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._folder.mkdir(PRIVATE, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "wb", buffering=0)
        return self._file


def readings(folder: Path) -> Iterator[ReadingRow]:
    """All that the processes of a generation have kept, as far as it can be read; what was read last of a page comes
    last."""
    compress = compressor()
    for path in _files(folder):
        with suppress(OSError), path.open("rb") as file:
            for block in _blocks(file):
                for url, digest, facts in block.rows:
                    yield ReadingRow(url, digest, packed_reading(bytes(facts), block.read_by, compress(bytes(facts))))


def packed_reading(facts: bytes, read_by: int, compressed: bytes) -> bytes:
    """Facts in the form of known.sqlite: damage shows, and that they were read by other rules."""
    rest = len(facts).to_bytes(LENGTH, "big") + compressed
    return xxh3_64_digest(rest, read_by) + rest


def unpacked_reading(packed: bytes, read_by: int) -> bytes | None:
    """The facts; None where they were read by other rules, or are damaged."""
    digest, rest = packed[:HASH], packed[HASH:]
    if digest != xxh3_64_digest(rest, read_by):
        return None
    try:
        return decompress(rest[LENGTH:], int.from_bytes(rest[:LENGTH], "big"))
    except UNREADABLE:
        return None


def remove_readings(folder: Path) -> None:
    """Remove what the processes of a generation have kept. Raises StorageError."""
    with storage_errors(folder):
        shutil.rmtree(folder / FOLDER, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    """The files, in the order in which they were last written."""
    found = []
    with suppress(OSError):
        found = [(path.stat().st_mtime_ns, path) for path in (folder / FOLDER).iterdir()]
    return [path for _, path in sorted(found)]


def _blocks(file: BinaryIO) -> Iterator[_Block]:
    decode = msgspec.msgpack.Decoder(_Block).decode
    while len(head := file.read(HASH + 2 * LENGTH)) == HASH + 2 * LENGTH:
        lengths = head[HASH:]
        packed = file.read(int.from_bytes(lengths[:LENGTH], "big"))
        if head[:HASH] != xxh3_64_digest(lengths + packed):
            return
        yield decode(decompress(packed, int.from_bytes(lengths[LENGTH:], "big")))
