"""The line between the arbiter and a shard: words in frames over a socket pair, written without ever waiting.

A frame is its length in four bytes and a msgpack list of words. What cannot be sent at once waits in memory, so two
that write to each other never stand still; what waits is bounded by the links there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from crawler.core.messages import (
    Acknowledged,
    Event,
    HostNoteShared,
    Lateness,
    LinksReceived,
    Message,
    QuotaGranted,
    SeedsSettled,
    ShardRestarted,
    Stop,
)
from crawler.core.shards.coordinator import Posted, Status
from crawler.metrics.counters import Counts

HEAD = 4


class ShardProgress(Message, frozen=True):
    """What a shard has done since it last said so, how much is in flight (pages, hosts), and why it pauses."""

    counts: Counts
    pages: int
    hosts: int
    paused: str = ""


class ShardExit(Message, frozen=True):
    """A shard has ended: URLs it still owes, first fetch and last commit (monotonic clock), lateness of its heartbeat;
    `error` where it could not go on."""

    owed: int = 0
    first_fetch_at: float | None = None
    last_commit_at: float | None = None
    lateness: Lateness = Lateness((), 0.0)
    error: str = ""


ToShard = LinksReceived | Acknowledged | QuotaGranted | HostNoteShared | SeedsSettled | Stop | ShardRestarted
ToArbiter = Posted | HostNoteShared | Status | ShardProgress | ShardExit
ControlMessage = Event | ToArbiter

_encode = msgspec.msgpack.Encoder().encode
decode_to_shard = msgspec.msgpack.Decoder(list[ToShard]).decode
decode_to_arbiter = msgspec.msgpack.Decoder(list[ToArbiter]).decode


class ShardChannel(asyncio.Protocol):
    """One end. `heard` is called with the bytes of each frame, `lost` when the other end is gone."""

    def __init__(self, heard: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._heard = heard
        self._lost = lost
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = bytearray()

    def send(self, words: Sequence[ControlMessage]) -> None:
        """Send words, in one frame; to nobody where the line is cut."""
        if self._transport is not None and words:
            frame = _encode(words)
            self._transport.write(len(frame).to_bytes(HEAD, "big") + frame)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The line stands."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are none by name

    def data_received(self, data: bytes) -> None:
        """Cut what comes into frames."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) >= start + HEAD:
            end = start + HEAD + int.from_bytes(buffer[start : start + HEAD], "big")
            if len(buffer) < end:
                break
            self._heard(bytes(buffer[start + HEAD : end]))
            start = end
        del buffer[:start]

    def connection_lost(self, error: Exception | None) -> None:
        """The other end is gone."""
        self._transport = None
        self._lost()

    def close(self) -> None:
        """Say goodbye after what was said has been sent."""
        if self._transport is not None:
            self._transport.close()
