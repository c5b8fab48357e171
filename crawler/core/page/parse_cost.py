"""Which pages are heavy: those whose parser would noticeably delay everything else in its process, see
crawler/pipeline/sandbox.

Rules, and why:
- A page of more than HEAVY bytes: the parser takes 6 to 70 ns a byte.
- One that may make more nodes than NODES. HTML reopens unclosed formatting elements in each block that follows
  ("reconstruct the active formatting elements", https://html.spec.whatwg.org), so n of them and m blocks make n * m
  nodes: 47 kB were seen to take 0.5 s and 660 MB. With t tags in all that is (t / 2) ** 2 at most, which settles it for
  nearly all pages. For the others the formatting elements are counted that a parser keeps: no more than three that are
  equal, so pages that repeat themselves, as honest ones do, stay light. Elements are equal where they are written
  alike, and so simply that every parser and charset sees the same end of them; each of the others counts. Only a parser
  knows whether they are closed, so a well-formed page may be taken for heavy; it is read all the same.

The check runs on every page of some size: counting its tags takes a tenth of the time of parsing.
"""

from __future__ import annotations

import re
from collections import Counter

HEAVY = 524_288
NODES = 2_000_000
_TAGS = 2_828  # the root of 4 * NODES
_SHORTEST = 5  # bytes, a tag, on the average of "<b x0>" and "<p>x"
_EQUAL = 3  # "the Noah's Ark clause" of the standard
_NAMES = ("b", "big", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u")


def _any_case(word: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" for letter in word)


# 19 tags in 20 are others: the lookahead skips them in half the time that the names take.
_NAMED = rf"(?=[bcefistuBCEFISTU][imotIMOT \t\n\f\r/])(?:{'|'.join(map(_any_case, _NAMES))})"
_ATTRIBUTES = r'(?: [a-zA-Z-]+="[^"<\x00-\x1f]*")+>'
_FORMATTING = re.compile(rf"<({_NAMED}(?P<simply>{_ATTRIBUTES})?)(?(simply)|[ \t\n\f\r/])".encode())


def is_expensive(body: bytes) -> bool:
    """Whether a page is heavy, so that another process should parse it."""
    size = len(body)
    if size > HEAVY:
        return True
    if size < _TAGS * _SHORTEST or (tags := body.count(b"<")) < _TAGS:
        return False
    utf_16 = b"\0" in body
    written = Counter(_FORMATTING.findall(body.replace(b"\0", b"") if utf_16 else body))
    # With the NULs removed, equal text no longer means that the elements were written alike.
    kept = sum(min(times, _EQUAL) if simply and not utf_16 else times for (_, simply), times in written.items())
    return tags * kept > NODES
