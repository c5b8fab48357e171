"""What was read of a stored page, in the form in which the next re-crawl takes it without parsing the page again.

Rules:
- It begins with a hash of the rest, seeded with the rules that reading depends on: what is damaged, or was read by
  other rules, is not taken.
- FORMAT is raised when the same page would be read otherwise by a newer version, or other facts are kept.
"""

from __future__ import annotations

import msgspec
from xxhash import xxh3_64_digest, xxh3_64_intdigest

from crawler.core.messages import Fetched
from crawler.core.page.robots import product_token
from crawler.core.reasons import NotFollowed
from crawler.core.rules import Rules
from crawler.storage.pages.record import compressor, decompress

FORMAT = 2
HASH, LENGTH = 8, 4
"""Bytes at the beginning: of the hash, and of the length of the rest before its compression."""
READ_BY = ("obey_nofollow", "max_links", "max_url_length", "follow_rel", "respell", "include", "exclude")
"""The rules that decide which links of a page are taken, beside the name that it may address."""


class KeptReading(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The facts of a page that its body and its stored headers decide, as in Fetched."""

    links: tuple[str, ...]
    cut: int
    fingerprint: tuple[int, int] | None
    not_followed: tuple[tuple[NotFollowed, int], ...]
    content_type: str


class ReadingCodec:
    """Encodes and decodes readings under some rules; for one thread at a time."""

    def __init__(self, rules: Rules) -> None:
        told = [getattr(rules, name) for name in READ_BY]
        self._seed = xxh3_64_intdigest(msgspec.json.encode([FORMAT, product_token(rules.user_agent), *told]))
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(KeptReading).decode
        self._compress = compressor()

    def encode(self, event: Fetched) -> bytes:
        """The facts of a page that was read."""
        kept = KeptReading(event.links, event.cut, event.fingerprint, event.not_followed, event.content_type)
        facts = self._encode(kept)
        packed = len(facts).to_bytes(LENGTH, "big") + self._compress(facts)
        return xxh3_64_digest(packed, self._seed) + packed

    def decode(self, encoded: bytes) -> KeptReading | None:
        """What `encode` was given; None where it was encoded under other rules, or is damaged."""
        digest, packed = encoded[:HASH], encoded[HASH:]
        if digest != xxh3_64_digest(packed, self._seed):
            return None
        try:
            return self._decode(decompress(packed[LENGTH:], int.from_bytes(packed[:LENGTH], "big")))
        except msgspec.MsgspecError:  # of a version that kept other facts
            return None
