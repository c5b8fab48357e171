"""What was read of a stored page, kept so that a later 304 takes it without parsing the page again.

Rules:
- It is kept when a page was parsed anyway: in a first crawl, too. It costs well below a hundredth of that.
- Only a page that a 304 may confirm is kept: a 200 that is whole, was read, and came with a validator.
- What is kept names the rules that reading depends on: what was read by other rules is not taken.
- FORMAT is raised when the same page would be read otherwise by a newer version, or other facts are kept.
"""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.messages import Fetch, Fetched
from crawler.core.page.robots import product_token
from crawler.core.reasons import NotFollowed
from crawler.core.revisit.validators import OK, validators_of
from crawler.core.rules import Rules
from crawler.storage.pages.base import Page
from crawler.storage.readings import ReadingWriter, unpacked_reading

FORMAT = 2
READ_BY = ("obey_nofollow", "max_links", "max_url_length", "follow_rel", "respell", "include", "exclude")
"""The rules that decide which links of a page are taken, beside the name that it may address."""


class KeptReading(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The facts of a page that its body and its stored headers decide, as in Fetched."""

    links: tuple[str, ...]
    cut: int
    fingerprint: tuple[int, int] | None
    not_followed: tuple[tuple[NotFollowed, int], ...]
    content_type: str


_decode = msgspec.msgpack.Decoder(KeptReading).decode


def read_by(rules: Rules) -> int:
    """A number for the rules that reading a page depends on."""
    told = [getattr(rules, name) for name in READ_BY]
    return xxh3_64_intdigest(msgspec.json.encode([FORMAT, product_token(rules.user_agent), *told]))


def kept_reading(packed: bytes, rules: int) -> KeptReading | None:
    """What was kept of a page; None where it was read by other rules than `rules`, a number of `read_by`, or is
    damaged."""
    facts = unpacked_reading(packed, rules)
    try:
        return None if facts is None else _decode(facts)
    except msgspec.MsgspecError:  # of a version that kept other facts
        return None


class ReadingKeeper:
    """Keeps what is read of the pages of a crawl, in a file of this process. Thread-safe; does not raise."""

    def __init__(self, folder: Path, rules: Rules) -> None:
        self._writer = ReadingWriter(folder, read_by(rules))
        self._lock = threading.Lock()

    def keep(self, fetch: Fetch, page: Page, event: Fetched) -> None:
        """Keep what was read of a page, if a 304 may confirm it."""
        if page.status != OK or page.truncated or event.unread is not None:
            return
        if event.sitemap is not None or fetch.naming is not None or not any(validators_of(page.headers)):
            return
        kept = KeptReading(event.links, event.cut, event.fingerprint, event.not_followed, event.content_type)
        with self._lock:
            self._writer.put(fetch.url, event.digest, kept)

    def close(self) -> None:
        """Write what is left."""
        with self._lock:
            self._writer.close()
