"""Which pages are heavy: those whose parser would be felt by everybody who waits for it meanwhile (crawler/heavy).

Rules, and why:
- A page of more than HEAVY bytes: the parser takes 8 to 60 ns a byte.
- One that may make more nodes than NODES. HTML reopens formatting elements that nobody closed in each block that
  follows ("reconstruct the active formatting elements", https://html.spec.whatwg.org), so n of them and m blocks make
  n * m nodes: 47 kB were seen to take 0.5 s and 660 MB. With t tags in all that is (t / 2) ** 2 at most, which settles
  it for nearly all pages. For the others the formatting elements are counted: those with attributes, as the parser
  keeps no more than three that are equal. Whether they are closed only a parser knows, so a page that is well marked up
  may be taken for heavy; it is read all the same.

The question is asked of every page of some size: to count its tags takes a tenth of the time that parsing takes.
"""

from __future__ import annotations

import re

HEAVY = 262_144
NODES = 2_000_000
_TAGS = 2_828  # the root of 4 * NODES
_SHORTEST = 5  # bytes, a tag, on the average of "<b x0>" and "<p>x"
_FORMATTING = re.compile(
    rb"<(?:[bBiIuUsS]|[cC][oO][dD][eE]|[eE][mM]|[fF][oO][nN][tT]|[sS][mM][aA][lL][lL]|[sS][tT][rR][iI][kK][eE]"
    rb"|[sS][tT][rR][oO][nN][gG]|[bB][iI][gG]|[tT][tT])[ \t\n\f\r/]"
)


def is_heavy(body: bytes) -> bool:
    """Whether to read this page elsewhere."""
    size = len(body)
    if size > HEAVY:
        return True
    if size < _TAGS * _SHORTEST or (tags := body.count(b"<")) < _TAGS:
        return False
    if b"\0" in body:  # UTF-16
        body = body.replace(b"\0", b"")
    return tags * len(_FORMATTING.findall(body)) > NODES
