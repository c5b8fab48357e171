"""Reads a sitemap (https://www.sitemaps.org/protocol.html): the URLs that it lists, in their order.

Rules:
- A document is a sitemap if its root element is urlset or sitemapindex, whatever its Content-Type and what named it.
  So what a URL brings depends on its response alone, not on which link to it was found first. It may be a gzip file.
- It is a stream of elements and text for the parser (expat), which keeps no tree. A DTD ends the reading before
  anything is declared: no entity is ever expanded or loaded. Inclusions (XInclude) are elements like any other.
- A URL is the text of `loc` in `url` in the root (`sitemap` in an index), with the prefix of the root: what extensions
  have (image:loc) names no pages. Namespaces are not compared, because many are misspelled.
- Limits: MOST_URLS and MOST_BYTES of the protocol; MOST_ELEMENTS, a second or two of work, on MOST_DEPTH levels. What
  was read before a limit or an error counts, and why the rest was not read is recorded.
- lastmod is read only where it is asked for (`dated`): a crawl decides nothing by it, the choice of the next re-crawl
  does. changefreq and priority are never read.
- The body is untrusted: nothing here raises, whatever the bytes.

Text sitemaps and feeds (RSS, Atom), which the protocol allows too, are not read.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from xml.parsers import expat

from crawler.core.messages import SitemapKind
from crawler.core.reasons import ParseSkipped

MOST_URLS = 50_000
MOST_BYTES = 52_428_800
MOST_ELEMENTS = 2_000_000
MOST_DEPTH = 16
LONGEST = 65_536
"""Characters of a `loc` that are kept, no fewer."""
LONGEST_DATE = 64
"""Characters of a `lastmod`."""
FIRST, LARGEST = 65_536, 4_194_304
"""Bytes of a piece. Each is twice as long as the one before: the parser scans an unfinished token anew with each."""
_GZIP = b"\x1f\x8b"
_SNIFFED = 8192
_BEGIN = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?\s*(?=<)")
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_OTHER = re.compile(rb"<(?:!doctype\s+html\b|html\b)", re.IGNORECASE)
_ROOT = re.compile(rb"<(?:[\w.-]+:)?(urlset|sitemapindex)[\s/>]")
_ELEMENT = re.compile(rb"<[A-Za-z]")
_ENTRY = {SitemapKind.PAGES: "url", SitemapKind.INDEX: "sitemap"}


def is_packed(body: bytes) -> bool:
    """Whether a body is a gzip file: one of some kilobytes may hold megabytes to parse."""
    return body.startswith(_GZIP)


def sitemap_kind(body: bytes) -> SitemapKind | None:
    """Which kind of sitemap a body is, by its first bytes; None where it is none."""
    head = body[:_SNIFFED]
    if is_packed(head):
        head = _unpacked_head(head)
    if b"\0" in head:  # UTF-16
        head = head.replace(b"\0", b"")
    if b"urlset" not in head and b"sitemapindex" not in head:
        return None
    begin = _BEGIN.match(head)
    head = _COMMENT.sub(b"", head)
    root = _ROOT.search(head)
    if begin is None or root is None:
        return None
    prolog = head[: root.start()]
    if _OTHER.search(prolog) or (b"<!DOCTYPE" not in prolog and _ELEMENT.search(prolog)):
        return None
    return SitemapKind(root[1].decode())


def _unpacked_head(head: bytes) -> bytes:
    try:
        return next(_pieces(head, _SNIFFED))
    except zlib.error:
        return b""


class SitemapReader:
    """The reading of one sitemap: its `urls` as written, how many more there are beyond MOST_URLS (`cut`), and why it
    was not read to its end (`unread`). Where it is `dated` also the `lastmods` by URL, as written."""

    def __init__(self, body: bytes, dated: bool = False) -> None:
        self.urls: list[str] = []
        self.lastmods: dict[str, str] = {}
        self._dated = dated
        self._url = self._date = ""
        self.cut = 0
        self.unread: ParseSkipped | None = None
        self._depth = self._elements = 0
        self._entry = self._loc = self._lastmod = ""
        self._in_entry = False
        self._text: list[str] | None = None
        self._length = 0
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._take
        try:
            self._parse(parser, body)
        except (expat.ExpatError, zlib.error, LookupError, ValueError):  # the last two: an unknown encoding
            self.unread = ParseSkipped.MALFORMED
        except _Refused as refused:
            self.unread = refused.why

    def _parse(self, parser: expat.XMLParserType, body: bytes) -> None:
        left = MOST_BYTES
        for piece in _pieces(body, FIRST):
            parser.Parse(piece[:left].lstrip() if left == MOST_BYTES else piece[:left], False)
            if len(piece) > left:
                raise _Refused(ParseSkipped.TOO_LARGE)
            left -= len(piece)
        parser.Parse(b"", True)

    # ---- the parser calls these --------------------------------------------------------------------------------------

    def _refuse(self, *declared: object) -> None:
        raise _Refused(ParseSkipped.DTD)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._elements > MOST_ELEMENTS:
            raise _Refused(ParseSkipped.TOO_LARGE)
        if self._depth == 3:
            if self._in_entry and (name == self._loc or (self._dated and name == self._lastmod)):
                self._text, self._length = [], 0
        elif self._depth == 2:
            self._in_entry = name == self._entry
            self._url = self._date = ""
        elif self._depth == 1:
            prefix, colon, root = name.rpartition(":")
            if root not in _ENTRY:
                raise _Refused(ParseSkipped.MALFORMED)
            self._entry, self._loc = f"{prefix}{colon}{_ENTRY[SitemapKind(root)]}", f"{prefix}{colon}loc"
            self._lastmod = f"{prefix}{colon}lastmod"
        elif self._depth > MOST_DEPTH:
            raise _Refused(ParseSkipped.MALFORMED)

    def _end(self, name: str) -> None:
        if self._depth == 3 and self._text is not None:
            text = "".join(self._text).strip()
            self._text = None
            if self._dated and name == self._lastmod:
                self._date = text[:LONGEST_DATE]
            elif text:
                self._url = text
                self._list(text)
        elif self._depth == 2 and self._url and self._date and len(self.lastmods) < MOST_URLS:
            self.lastmods[self._url] = self._date
        self._depth -= 1

    def _list(self, url: str) -> None:
        if len(self.urls) < MOST_URLS:
            self.urls.append(url)
        else:
            self.cut += 1

    def _take(self, text: str) -> None:
        if self._text is not None and self._length <= LONGEST:
            self._text.append(text)
            self._length += len(text)


class _Refused(Exception):
    """Ends the reading of a sitemap."""

    def __init__(self, why: ParseSkipped) -> None:
        super().__init__(why)
        self.why = why


def _pieces(body: bytes, size: int) -> Iterator[bytes]:
    """The pieces of a document, unpacked; the first has `size` bytes at most."""
    if not is_packed(body):
        at = 0
        while at < len(body):
            yield body[at : at + size]
            at, size = at + size, min(2 * size, LARGEST)
        return
    unpacker = zlib.decompressobj(wbits=31)
    while body:
        yield unpacker.decompress(body, size)
        body, size = unpacker.unconsumed_tail, min(2 * size, LARGEST)
    yield unpacker.flush()
