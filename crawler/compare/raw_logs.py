"""The raw observations of a trial, kept with the session, so that all that is stated of it can be computed again.

Rules, and why:
- One file per trial, `raw/ORDER.zst`: msgpack, compressed with zstd. It holds the server's log, the times of the
  commits, what the crawl stored and reported, and its costs. It is complete before the trial is recorded.
- Its SHA-256 is recorded with the trial, so no other log can take its place.
- Gates and metrics are pure functions of it and of the condition. `compare verify` computes both again, and so finds
  every figure that was changed afterwards, in a report or in the recorded trials.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TypeVar

import msgspec

from crawler.compare.costs import StartCost
from crawler.compare.durability import Durability
from crawler.compare.environment import OtherLoad
from crawler.compare.launch import Cost
from crawler.errors import Corrupt
from crawler.metrics.summary import Summary
from crawler.settings import Settings
from crawler.storage.verify import Audit
from crawler.testweb.log import LogEntry

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FOLDER = "raw"
LEVEL = 9
Raw = TypeVar("Raw", bound=msgspec.Struct)
MOST = 1 << 30
"""Bytes that a file may unpack to."""


class RawTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The observations of one trial.

    `settings`, `first_bytes` (URL -> seconds), `received_at` (URL -> Unix time, in an open loop) and `cut` (bodies cut
    at the cap) as the crawl stored them; `stored_at`: URL -> Unix time of its commit. `server_cpu` in seconds;
    `raw_rate` and `server_rate` in pages/s, None where they were not measured; `start`: what the engine spends on
    starting; `machine` None where it is unknown; `durability`: what the files of the crawl showed. `started_at` in Unix
    time.
    """

    started_at: float
    cost: Cost
    summary: Summary
    settings: Settings
    audit: Audit
    entries: list[LogEntry]
    first_bytes: dict[str, float]
    received_at: dict[str, float]
    stored_at: dict[str, float]
    cut: int
    server_cpu: float
    raw_rate: float | None
    server_rate: float | None
    start: StartCost
    machine: OtherLoad | None
    durability: Durability


def path_of(folder: Path, order: int) -> Path:
    """The file of a trial of the session in `folder`."""
    return folder / FOLDER / f"{order:05}.zst"


def write(path: Path, raw: msgspec.Struct) -> str:
    """Write the file, whole or not at all; returns its SHA-256."""
    path.parent.mkdir(exist_ok=True)
    beside = path.with_suffix(".part")
    packed = zstd.compress(msgspec.msgpack.encode(raw), LEVEL)
    beside.write_bytes(packed)
    beside.replace(path)
    return hashlib.sha256(packed).hexdigest()


def read(path: Path, digest: str, kind: type[Raw]) -> Raw:
    """Read the file of a trial, a RawTrial or a RawSite. Raises Corrupt where it is missing, cannot be read, or has
    another SHA-256."""
    try:
        packed = path.read_bytes()
        if hashlib.sha256(packed).hexdigest() != digest:
            raise Corrupt(f"{path} is not the raw log that was recorded with its trial")
        unpacked = zstd.ZstdDecompressor().decompress(packed, max_length=MOST)
        return msgspec.msgpack.decode(unpacked, type=kind)
    except (OSError, zstd.ZstdError, msgspec.MsgspecError) as error:
        raise Corrupt(f"{path} cannot be read: {error}") from error
