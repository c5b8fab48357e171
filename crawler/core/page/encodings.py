"""The query of a link in the encoding of its page, as the URL Standard and the Encoding Standard want it.

Rules:
- In a page that is not UTF-8 or UTF-16 the characters of a query are encoded as the page is, then percent-encoded:
  `?q=\u00e9` of a Latin-1 page is asked for as `?q=%E9`. Paths and hosts are always UTF-8.
- A character that the encoding does not have becomes the reference that a form would send: `&#128169;`, percent-encoded
  (https://url.spec.whatwg.org/#string-percent-encode-after-encoding).
- An encoder is the inverse of the parser's decoder, with the exceptions of https://encoding.spec.whatwg.org: so a
  character that was read from bytes is written as bytes that read the same. Python's codecs differ in hundreds of them.

A table is built where a page of its encoding first has such a query, in 1 to 20 ms. A query that is ASCII needs none of
this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from unicodedata import normalize

import turbohtml.detect  # noqa: F401  registers the codecs "whatwg-..."

Encoder = Callable[[str], bytes | None]

UNICODE = frozenset({"UTF-8", "UTF-16LE", "UTF-16BE", "replacement"})
"""Encodings whose pages have their queries in UTF-8."""

_QUERY = re.compile(r"[^?#]*\?([^#]*)")
_RUN = re.compile("[^\x00-\x7f]+")
_DROPPED = re.compile("[\t\n\r]+")
_ESCAPED = frozenset({*range(0x21), *b"\"#'<>", *range(0x7F, 0x100)})
_LOOKS_LIKE = {0xA5: 0x5C, 0x203E: 0x7E}  # as Shift_JIS and EUC-JP encode them
_MINUS = 0x2212
_WIDE_MINUS = 0xFF0D
_BIG5_LAST = frozenset("\u2550\u255e\u2561\u256a\u5341\u5345")
_GB18030_PRIVATE = (*range(0xE78D, 0xE797), 0xE81E, 0xE826, 0xE82B, 0xE82C, 0xE832, 0xE843, 0xE854, 0xE864)
_NOT_IN_GB18030 = {"\ue5e5": None, "\ue7c7": b"\x81\x35\xf4\x37"}  # where Python has other codes
_SURROGATES = re.compile("[\ud800-\udfff]")


def with_query_in(href: str, encoding: str) -> str:
    """A href of a page in this encoding (its WHATWG name), its query percent-encoded where it is not ASCII."""
    if href.isascii() or encoding in UNICODE or (found := _QUERY.match(href)) is None or found[1].isascii():
        return href
    query = _SURROGATES.sub("\ufffd", _DROPPED.sub("", found[1]))
    start, end = found.span(1)
    return href[:start] + _encoded(query, encoding) + href[end:]


def _encoded(query: str, encoding: str) -> str:
    if encoding == "ISO-2022-JP":
        return _escaped(_iso_2022_jp(query))
    encode = _encoder(encoding)
    return _RUN.sub(lambda run: "".join(_escape(character, encode) for character in run[0]), query)


def _escape(character: str, encode: Encoder) -> str:
    found = encode(character)
    return f"%26%23{ord(character)}%3B" if found is None else _escaped(found)


def _escaped(data: Iterable[int]) -> str:
    return "".join(f"%{byte:02X}" if byte in _ESCAPED else chr(byte) for byte in data)


@cache
def _encoder(encoding: str) -> Encoder:
    if encoding == "gb18030":
        return _gb18030
    table = _MAKERS.get(encoding, _single)(f"whatwg-{encoding.lower()}")
    return table.get


# ---- tables ----------------------------------------------------------------------------------------------------------

Table = Mapping[str, bytes]


def _single(codec: str) -> dict[str, bytes]:
    """The table of an encoding of single bytes."""
    return _turned(codec, (bytes((byte,)) for byte in range(0x80, 0x100)))


def _turned(codec: str, codes: Iterable[bytes], last: frozenset[str] = frozenset()) -> dict[str, bytes]:
    """From the text of each code to the code. Where several codes give one text the first is used, the last for those
    in `last`."""
    table: dict[str, bytes] = {}
    codes = list(codes)
    texts = b"\n".join(codes).decode(codec).split("\n")
    for code, text in zip(codes, texts, strict=True):
        if len(text) == 1 and text != "\ufffd" and (text not in table or text in last):
            table[text] = code
    return table


def _pairs(leads: Iterable[int], trails: Iterable[int]) -> Iterable[bytes]:
    trails = tuple(trails)
    return (bytes((lead, trail)) for lead in leads for trail in trails)


def _shift_jis(codec: str) -> Table:
    """Without the rows that NEC took from IBM, which are duplicates."""
    leads = (*range(0x81, 0xA0), *range(0xE0, 0xED), *range(0xEF, 0xFD))
    table = _turned(codec, _pairs(leads, (*range(0x40, 0x7F), *range(0x80, 0xFD))))
    return _japanese(table | _single(codec))


def _euc_jp(codec: str) -> Table:
    table = _turned(codec, _pairs(range(0xA1, 0xFF), range(0xA1, 0xFF)))
    return _japanese(table | _turned(codec, _pairs((0x8E,), range(0xA1, 0xE0))))


def _japanese(table: dict[str, bytes]) -> Table:
    table |= {chr(code): bytes((like,)) for code, like in _LOOKS_LIKE.items()}
    table[chr(_MINUS)] = table[chr(_WIDE_MINUS)]
    return table


def _big5(codec: str) -> Table:
    """Without the Hong Kong characters, which only decoders know."""
    return _turned(codec, _pairs(range(0xA1, 0xFF), (*range(0x40, 0x7F), *range(0xA1, 0xFF))), _BIG5_LAST)


def _euc_kr(codec: str) -> Table:
    return _turned(codec, _pairs(range(0x81, 0xFF), range(0x41, 0xFF)))


def _gbk(codec: str) -> Table:
    return {**_two_bytes(), "\u20ac": b"\x80"}


@cache
def _two_bytes() -> Table:
    """The two-byte codes of GB 18030, those included that stood for a private character before 2022."""
    table = _turned("whatwg-gb18030", _pairs(range(0x81, 0xFF), (*range(0x40, 0x7F), *range(0x80, 0xFF))))
    for private in map(chr, _GB18030_PRIVATE):
        table.setdefault(private, private.encode("gb18030"))
    return table


_MAKERS: Mapping[str, Callable[[str], Table]] = {
    "Shift_JIS": _shift_jis,
    "EUC-JP": _euc_jp,
    "Big5": _big5,
    "EUC-KR": _euc_kr,
    "GBK": _gbk,
}


def _gb18030(character: str) -> bytes | None:
    if character in _NOT_IN_GB18030:
        return _NOT_IN_GB18030[character]
    return _two_bytes().get(character) or character.encode("gb18030")


# ---- ISO-2022-JP -----------------------------------------------------------------------------------------------------


def _iso_2022_jp(query: str) -> bytes:
    """The bytes of a whole query: the encoder has states, and ends in that of ASCII."""
    out = bytearray()
    state = b"(B"
    for character in query:
        wanted, code = _iso_2022_jp_code(character, state)
        if wanted != state:
            out += b"\x1b" + wanted
            state = wanted
        out += code
    return bytes(out if state == b"(B" else out + b"\x1b(B")


def _iso_2022_jp_code(character: str, state: bytes) -> tuple[bytes, bytes]:
    """The state (the end of its escape sequence) in which a character is written, and how."""
    point = ord(character)
    if point < 0x80:
        roman = state == b"(J" and point not in _LOOKS_LIKE.values()
        return state if roman else b"(B", bytes((point,))
    if point in _LOOKS_LIKE:
        return b"(J", bytes((_LOOKS_LIKE[point],))
    if 0xFF61 <= point <= 0xFF9F:  # katakana of half the width
        character = {"\uff9e": "\u309b", "\uff9f": "\u309c"}.get(character) or normalize("NFKC", character)
    code = _encoder("EUC-JP")(character)
    if code is None or len(code) != 2 or code[0] == 0x8E:
        return state if state != b"$B" else b"(B", f"%26%23{point}%3B".encode()
    return b"$B", bytes(byte & 0x7F for byte in code)
