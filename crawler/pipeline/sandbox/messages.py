"""The messages between a process that fetches and its sandbox process, which parses heavy pages."""

from __future__ import annotations

import msgspec

from crawler.core.messages import SitemapNaming
from crawler.core.page.links import PageHeaders, Reading
from crawler.core.rules import Rules


class SandboxConfig(msgspec.Struct, frozen=True):
    """First message to a sandbox process: the rules, and the limits of a page, in bytes of memory and seconds of
    CPU."""

    rules: Rules
    memory: int
    seconds: int


class ParseRequest(msgspec.Struct, frozen=True):
    """A page to parse; its body follows as a separate message. See `read_page`."""

    url: str
    headers: PageHeaders
    extract_links: bool
    want_fingerprint: bool
    naming: SitemapNaming | None = None


class ParseResponse(msgspec.Struct, frozen=True):
    """The Reading of a page, or the message of an unexpected exception. `spent`: replace the process; `again`: the page
    was not parsed, retry it in a fresh process."""

    reading: Reading | None
    error: str = ""
    spent: bool = False
    again: bool = False
