"""Classifies a body: its MIME type by the headers, by the standards that browsers follow, and by its first bytes.

Rules:
- A type is parsed as in https://mimesniff.spec.whatwg.org#parsing-a-mime-type: parameters leniently, broken ones left
  out, values in quotes; a type or subtype that is no token makes the whole invalid.
- Several headers are one list, as HTTP has it, and so are several types in one header. The last one that can be parsed
  and is not "*/*" counts; the charset of an earlier one stays where the essence is the same
  (https://fetch.spec.whatwg.org#concept-header-extract-mime-type).
- Where no type can be parsed, or it is unknown/unknown, application/unknown or */*, the first bytes decide; with
  `X-Content-Type-Options: nosniff` they never make it a type that may hold scripts, so no HTML either.
- Pages are HTML, XHTML, and XML whose root is the html of XHTML.

Two rules go beyond the standards, as browsers do: an invalid type that begins with an HTML type and a space is that
type ("text/html charset=utf-8"); and a BOM may come before what is sniffed.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

XHTML = "application/xhtml+xml"
_HTML = frozenset({"text/html", XHTML})
_XML = frozenset({"text/xml", "application/xml"})
_UNKNOWN = frozenset({"", "unknown/unknown", "application/unknown", "*/*"})
_SPACE = " \t\r\n"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]+").fullmatch
_LIST = re.compile(r'((?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?\Z))*)(,|\Z)', re.DOTALL)
_PARAMETER = re.compile(r';([^;=]*)(?:=(?:"((?:[^"\\]|\\.)*)(?:"|\\?\Z)[^;]*|([^;]*)))?', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BEGINS_AS_HTML = re.compile(r"(text/html|application/xhtml\+xml)[ \t]", re.IGNORECASE)
_LONGEST = 500  # characters of a header that are worth remembering
_CUT_AT = 4096  # characters of a header that are parsed: no real type is longer

_TAG = re.compile(
    rb"(?:\xef\xbb\xbf)?[\t\n\f\r ]*<"
    rb"(?:!--|(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)[ >\t\n\f\r])",
    re.IGNORECASE,
)
_PROLOG = re.compile(rb"(?:\xef\xbb\xbf)?[\t\n\r ]*(?=<[?!h])")
_BETWEEN = ((b"<?", b"?>"), (b"<!--", b"-->"), (b"<!DOCTYPE", b">"))
_ROOT = re.compile(rb"[\t\n\r ]*<html[\t\n\r ][^>]*?xmlns[\t\n\r ]*=[\t\n\r ]*[\"']http://www\.w3\.org/1999/xhtml[\"']")
_MOST_BETWEEN = 20
_SNIFFED = 8192  # bytes that are looked at for the root of an XML document


class MediaType(msgspec.Struct, frozen=True, gc=False):
    """A MIME type: "type/subtype" in lower case, "" where there is none that can be parsed, and its charset label.

    `nearly`: it is invalid, but begins with a type of HTML.
    """

    essence: str = ""
    charset: str = ""
    nearly: bool = False


def media_type(content_type: str) -> MediaType:
    """The type that Content-Type headers declare, joined by commas where there are several."""
    return _remembered(content_type) if len(content_type) <= _LONGEST else _extract(content_type[:_CUT_AT])


def is_page(body: bytes, declared: MediaType, nosniff: bool = False) -> bool:
    """Whether a browser would show a body of this type as a document with links."""
    essence = declared.essence
    if essence in _HTML:
        return True
    if essence in _XML:
        return _is_xhtml(body)
    if essence in _UNKNOWN:
        return declared.nearly or (not nosniff and looks_like_page(body))
    return False


def looks_like_page(body: bytes) -> bool:
    """Whether a body begins as HTML or XHTML does, whatever its declared type."""
    return _TAG.match(body) is not None or _is_xhtml(body)


def _is_xhtml(body: bytes) -> bool:
    """Whether the root of an XML document is the html of XHTML, after the prolog and comments that may precede a
    root."""
    if not (prolog := _PROLOG.match(body)):
        return False
    head, at = body[:_SNIFFED], prolog.end()
    for _ in range(_MOST_BETWEEN):
        end = next((end for start, end in _BETWEEN if head.startswith(start, at)), b"")
        if not end or (found := head.find(end, at)) < 0:
            break
        at = found + len(end)
        while head[at : at + 1].isspace():
            at += 1
    return _ROOT.match(head, at) is not None


def _extract(content_type: str) -> MediaType:
    found = MediaType(nearly=_BEGINS_AS_HTML.match(content_type.lstrip(_SPACE)) is not None)
    for value in _split(content_type):
        parsed = _parse(value)
        if parsed is None or parsed.essence == "*/*":
            continue
        if not parsed.charset and parsed.essence == found.essence:
            parsed = MediaType(parsed.essence, found.charset)
        found = parsed
    return found


_remembered = lru_cache(maxsize=256)(_extract)


def _split(content_type: str) -> list[str]:
    """The values of a list, at commas outside of quoted strings."""
    return [match[1].strip(_SPACE) for match in _LIST.finditer(content_type)]


def _parse(value: str) -> MediaType | None:
    essence, semicolon, rest = value.partition(";")
    kind, _, subtype = essence.rstrip(_SPACE).partition("/")
    if not _TOKEN(kind) or not _TOKEN(subtype):
        return None
    charset = ""
    for name, quoted, plain in (match.groups() for match in _PARAMETER.finditer(semicolon + rest)):
        if name.lstrip(_SPACE).lower() == "charset":
            label = (plain or "").rstrip(_SPACE) if quoted is None else _ESCAPED.sub(r"\1", quoted)
            if _VALUE(label) or quoted == "":
                charset = label
                break
    return MediaType(f"{kind}/{subtype}".lower(), charset)
