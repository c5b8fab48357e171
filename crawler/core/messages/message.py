"""The base of all messages."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True, gc=False):
    """Base of all messages: a frozen record that msgpack can carry and tell apart. Those that a frontier stores as JSON
    have a pinned tag, so that a class may be renamed."""
