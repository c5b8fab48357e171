"""Parses the head of a response and the framing of its body, once for all clients (RFC 9112).

Rules:
- A client hands over the raw bytes of a head. Whether they are valid, what they mean and where the body ends is decided
  here, not by three parsers: the same bytes give the same result in every client and mode.
- What can be parsed in two ways is refused (PROTOCOL), because a wrong guess would take one page for another: control
  characters and lone CRs, invalid names, Content-Lengths or Locations that contradict each other, transfer codings
  other than chunked, a switch of protocols. So is too much: interim replies, fields, bytes.
- Tolerated, as every client does: lines that end without CR, folded fields, a repeated equal length, no reason phrase.
- What is odd but clear (a length beside chunks, a 204 with a body) is good for this response, but the
  connection is not used again.
- Nothing here is more lenient than libcurl, which checks a head before we see it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import FetchError, Headers

MAX_INTERIM = 8
"""The most 1xx replies before a response."""

MAX_FIELDS = 1_000
"""The most fields of a head."""

_LONGEST = 2**63 - 1  # bytes of a body: what libcurl can count
_VISIBLE = r"\x21-\x7e\x80-\xff"
_STATUS = re.compile(rf"HTTP/1\.([01]) ([1-9][0-9]{{2}})(?: [\t {_VISIBLE}]*)?\r?\n".encode("latin-1"))
_BLANK = (b"\n\r\n", b"\n\n")
_END = re.compile(rb"\n\r?\n")
_FIELD = re.compile(  # linear: possessive
    rf"(?m)^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+((?:[\t {_VISIBLE}]*[{_VISIBLE}])?+)[ \t]*+\r?\n"
)
_TELLING = {len(name) for name in ("content-length", "transfer-encoding", "connection", "location")}
_FOLD = re.compile(r"[ \t]*\r?\n[ \t]+")


class Head(NamedTuple):
    """The head of a final response. `fields` keep order and case, decoded as Latin-1.

    `length` is that of the body in bytes, None where it comes in chunks or ends with the connection. `keep_alive`: the
    connection may be used again.
    """

    status: int
    fields: Headers
    length: int | None
    chunked: bool
    keep_alive: bool

    def minimal_head(self) -> bytes:
        """The shortest head with the same framing of the body, for a client's own parser."""
        body = b"Transfer-Encoding: chunked\r\n" if self.chunked else b""
        if self.length is not None:
            body = b"Content-Length: %d\r\n" % self.length
        return b"HTTP/1.1 200 OK\r\n%b%b\r\n" % (body, b"" if self.keep_alive else b"Connection: close\r\n")


def read_head(raw: bytes, limit: int) -> tuple[Head, int] | None:
    """The head that `raw` begins with, without interim replies, and the offset of the body; None: it is incomplete.

    `limit` is the most bytes of all heads together. Raises FetchError(PROTOCOL) as soon as no valid head can follow.
    """
    start = 0
    for _ in range(MAX_INTERIM + 1):
        end = _END.search(raw, start)
        if (end.end() if end else len(raw)) > limit:
            raise _refused("head too large")
        status = _STATUS.match(raw, start)
        if status is None:
            check_begun(raw[start:])
            return None
        if end is None:
            return None
        version, code = status.groups()
        if code == b"101":
            raise _refused("it switches protocols unasked")
        fields = _read_fields(raw[status.end() : end.start() + 1].decode("latin-1"))
        if code[:1] != b"1":
            return _judge(int(code), version == b"1", fields), end.end()
        start = end.end()
    raise _refused("too many interim replies")


def check_partial(raw: bytes, limit: int) -> None:
    """Raises FetchError(PROTOCOL) where the complete lines of a truncated head are already invalid.

    A last field without a colon is not checked: the next line might have continued it, and libcurl does not show it to
    us."""
    lines = raw[: raw.rfind(b"\n") + 1]
    before = lines[: lines.rfind(b"\n", 0, -1) + 1]
    is_field = before and not before.endswith(_BLANK)
    if len(lines) == len(raw) and is_field and b":" not in lines[len(before) :].partition(b"\0")[0]:
        lines = before
    if lines and not lines.endswith(_BLANK):
        read_head(lines + b"\r\n", limit)


def _refused(why: str) -> FetchError:
    return FetchError(FetchErrorKind.PROTOCOL, why)


def check_begun(line: bytes) -> None:
    """Raises FetchError(PROTOCOL) for what cannot become a status line. Lower case is refused only when the line is
    complete, as by libcurl."""
    if b"\n" in line or line[:5].upper() != b"HTTP/"[: len(line)]:
        raise _refused(f"no status line: {line[:60]!a}")


def _read_fields(text: str) -> Headers:
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)
    fields: list[tuple[str, str]] = _FIELD.findall(text)
    if len(fields) != text.count("\n"):
        bad = next(line for line in text.splitlines(keepends=True) if not _FIELD.fullmatch(line))
        raise _refused(f"no header field: {bad[:60]!a}")
    if len(fields) > MAX_FIELDS:
        raise _refused("too many header fields")
    return tuple(fields)


def _judge(status: int, persistent: bool, fields: Headers) -> Head:
    """How the body ends (RFC 9112 section 6.3), and whether the connection goes on (9.3); `persistent`: HTTP/1.1."""
    said: dict[str, list[str]] = {}
    for name, value in fields:
        if len(name) in _TELLING:  # most names need no more than that
            said.setdefault(name.lower(), []).append(value)
    if len(set(said.get("location", ()))) > 1:
        raise _refused("more than one Location")
    length = _length(said.get("content-length", []))
    codings = said.get("transfer-encoding")
    chunked = codings is not None and _chunked(codings)
    doubt = chunked and (length is not None or not persistent)
    if status in (204, 304):
        doubt = chunked or (status == 204 and bool(length))
        length, chunked = 0, False
    elif codings is not None:  # an "identity" ends with the connection
        length = None
    options = _words(said.get("connection", ()))
    asked = "close" not in options and (persistent or "keep-alive" in options)
    keeps = asked and not doubt and (chunked or length is not None)
    return Head(status, fields, length, chunked, keeps)


def says_keep_alive(fields: Headers) -> bool:
    """Whether a head says in so many words that its connection is kept."""
    return "keep-alive" in _words(value for name, value in fields if name.lower() == "connection")


def _words(values: Iterable[str]) -> list[str]:
    return [word for value in values for part in value.lower().split(",") if (word := part.strip(" \t"))]


def _length(values: list[str]) -> int | None:
    if not values:
        return None
    lengths = {part.strip(" \t") for value in values for part in value.split(",")}
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit()) or len(length) > 19 or int(length) > _LONGEST:
        raise _refused(f"unclear Content-Length: {', '.join(values)[:60]!a}")
    return int(length)


def _chunked(values: list[str]) -> bool:
    codings = [word for word in _words(values) if word != "identity"]
    if codings not in ([], ["chunked"]):
        raise _refused(f"unknown transfer coding: {', '.join(values)[:60]!a}")
    return bool(codings)
