"""The channel between the arbiter and a shard: frames of messages over a socket pair, written without blocking.

A frame is its length in four bytes (big-endian) and a msgpack list of messages. What cannot be sent at once is
buffered, so two processes that write to each other never deadlock. The buffer is bounded by the number of links.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from crawler.core.messages import (
    Acknowledged,
    DomainQuotaGranted,
    Event,
    HostNoteShared,
    Lateness,
    LinksReceived,
    LiveLimits,
    Message,
    QuotaGranted,
    SeedsSettled,
    ShardRestarted,
    Stop,
)
from crawler.core.shards.coordinator import DomainQuotaWanted, Posted, Status
from crawler.metrics.counters import Counts

HEAD = 4


class ShardProgress(Message, frozen=True):
    """Counts since a shard's last such message, what is in flight (pages, hosts), and why the shard pauses."""

    counts: Counts
    pages: int
    hosts: int
    paused: str = ""


class ShardExit(Message, frozen=True):
    """The last message of a shard: URLs still owed, first fetch and last commit (monotonic clock), lateness of its
    heartbeat. `error` is why it stopped early, "" where it did not; `by_callback`: a function of the user raised."""

    owed: int = 0
    first_fetch_at: float | None = None
    last_commit_at: float | None = None
    lateness: Lateness = Lateness((), 0.0)
    error: str = ""
    by_callback: bool = False


ToShard = (
    LinksReceived
    | Acknowledged
    | QuotaGranted
    | DomainQuotaGranted
    | HostNoteShared
    | SeedsSettled
    | Stop
    | ShardRestarted
    | LiveLimits
)
ToArbiter = Posted | DomainQuotaWanted | HostNoteShared | Status | ShardProgress | ShardExit
ControlMessage = Event | ToArbiter

_encode = msgspec.msgpack.Encoder().encode
decode_to_shard = msgspec.msgpack.Decoder(list[ToShard]).decode
decode_to_arbiter = msgspec.msgpack.Decoder(list[ToArbiter]).decode


class ShardChannel(asyncio.Protocol):
    """One end. `on_frame` is called with the bytes of each frame, `on_close` when the other end is closed."""

    def __init__(self, on_frame: Callable[[bytes], None], on_close: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_close = on_close
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = bytearray()

    def send(self, messages: Sequence[ControlMessage]) -> None:
        """Send messages in one frame. Does nothing once the channel is closed."""
        if self._transport is not None and messages:
            frame = _encode(messages)
            self._transport.write(len(frame).to_bytes(HEAD, "big") + frame)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's transports do not subclass it

    def data_received(self, data: bytes) -> None:
        """Split what arrives into frames."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) >= start + HEAD:
            end = start + HEAD + int.from_bytes(buffer[start : start + HEAD], "big")
            if len(buffer) < end:
                break
            self._on_frame(bytes(buffer[start + HEAD : end]))
            start = end
        del buffer[:start]

    def connection_lost(self, error: Exception | None) -> None:
        """The other end is closed."""
        self._transport = None
        self._on_close()

    def close(self) -> None:
        """Close after the buffered frames are written."""
        if self._transport is not None:
            self._transport.close()
