"""What crosses the line between whoever has a heavy page and the process that reads it."""

from __future__ import annotations

import msgspec

from crawler.core.page.links import PageHeaders, Reading
from crawler.core.rules import Rules


class SandboxConfig(msgspec.Struct, frozen=True):
    """What a process is told at birth: the rules, and what a page may take, in bytes of memory and seconds of CPU."""

    rules: Rules
    memory: int
    seconds: int


class ParseRequest(msgspec.Struct, frozen=True):
    """A page to be read; its body follows as a message of its own. See `read_page`."""

    url: str
    headers: PageHeaders
    extract_links: bool
    want_fingerprint: bool


class ParseResponse(msgspec.Struct, frozen=True):
    """What a page says, or the words of an error of ours. `spent`: the process should read no other page; `again`:
    nor did it read this one, which a fresh process may."""

    reading: Reading | None
    error: str = ""
    spent: bool = False
    again: bool = False
