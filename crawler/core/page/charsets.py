"""The charset of a page: BOM, Content-Type, meta; then UTF-8 where the bytes are UTF-8, a guess, windows-1252.

Names and labels are those of the WHATWG (https://encoding.spec.whatwg.org), never codecs of Python. The charset of a
large body that is not UTF-8 is guessed from a SAMPLE of it: a byte takes longer to detect than to parse.
"""

from __future__ import annotations

import re
from functools import lru_cache

from turbohtml import Document, parse
from turbohtml.detect import detect

CUT_CHARACTER = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
"""The head of a character at the end of a body."""

SAMPLE = 262_144
PRESCAN = 1024  # bytes in which a meta is looked for before parsing (WHATWG, "prescan a byte stream")
_FALLBACK = "windows-1252"


@lru_cache(maxsize=256)
def charset_name(label: str) -> str:
    """The WHATWG name of the charset that a label means, "" where the label is unknown."""
    try:
        return str(parse(b"", encoding=label).encoding) if label else ""
    except (LookupError, ValueError):  # no label; not even text
        return ""


def parse_page(body: bytes, declared: str) -> Document:
    """Parse a body whose Content-Type declares this charset ("": none)."""
    if declared or len(body) <= SAMPLE or (sample := _foreign_sample(body)) is None:
        return parse(body, encoding=declared or None, detect_encoding=True, positions=False)
    page = parse(body, positions=False)
    guess = detect(sample).encoding if str(page.encoding) == _FALLBACK else None  # BOM and meta come first
    return page if guess in (None, _FALLBACK) else parse(body, encoding=guess, positions=False)


def charset_of(body: bytes, declared: str) -> str:
    """The charset of a page without parsing it; a meta beyond the first 1024 bytes goes unseen."""
    sample = None if declared or len(body) <= SAMPLE else _foreign_sample(body)
    match = detect(body[:3] if declared else body if sample is None else sample)
    if match.bom:
        return str(match.encoding).removesuffix("-SIG")
    return declared or match.encoding or _FALLBACK


def _foreign_sample(body: bytes) -> bytes | None:
    """The head of a body that is not UTF-8, and what surrounds the first byte that shows it, from tag to tag so that no
    character is cut in two. None: it is UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        shown = error.start
        head = body[: min(PRESCAN, shown)].decode(errors="ignore").encode()
        begin = max(body.rfind(b"<", PRESCAN, shown), min(shown, PRESCAN))
        sample = body[begin if shown - begin < PRESCAN else shown : shown + SAMPLE]
        end = sample.rfind(b"<")
        return head + (sample[:end] if end > PRESCAN else sample)
    return None
