"""Hostile, broken and unusual replies, byte for byte, and the outcome that every client must report for each."""

from __future__ import annotations

from .raw_server import chunked


def head(*lines: str, status: str = "HTTP/1.1 200 OK", end: str = "\r\n") -> bytes:
    """A head whose lines end in `end`."""
    return end.join((status, *lines, "", "")).encode("latin-1")


def hi(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    """A reply with a body of two bytes and the Content-Length as its last header."""
    return head(*lines, "Content-Length: 2", status=status) + b"hi"


def said(length: str) -> bytes:
    """A reply with a body of two bytes and this Content-Length."""
    return head(f"Content-Length: {length}") + b"hi"


def coded(coding: str, *lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    """Two bytes in one chunk under this Transfer-Encoding."""
    return head(f"Transfer-Encoding: {coding}", *lines, status=status) + b"2\r\nhi\r\n0\r\n\r\n"


def chunks(raw: bytes) -> bytes:
    """A chunked reply with these bytes as its body."""
    return head("Transfer-Encoding: chunked") + raw


CONTINUE = head(status="HTTP/1.1 100 Continue")
LONG = "a" * 1_000

GOOD = {  # all of these are 200 with the body "hi"
    "plain": hi(),
    "no reason": hi(status="HTTP/1.1 200"),
    "Latin-1 reason": hi(status="HTTP/1.1 200 \xe4"),
    "HTTP/1.0": hi(status="HTTP/1.0 200 OK"),
    "kept in HTTP/1.0": hi("Connection: keep-alive", status="HTTP/1.0 200 OK"),
    "lines end without CR": head("A: 1", "Content-Length: 2", end="\n") + b"hi",
    "mixed line ends": b"HTTP/1.1 200 OK\r\nA: 1\nContent-Length: 2\n\r\nhi",
    "folded field": hi("A: one", " two", "\tthree"),
    "blanks around values": hi("A:\t b\t ", "B:"),
    "a thousand fields": hi(*["A: b"] * 999),
    "head of 60 KB": hi(*[f"A: {LONG}"] * 60),
    "length twice": said("2\r\nContent-Length: 2"),
    "length in a list": said("2, 2"),
    "length with zeros": said("0002"),
    "same Location twice": hi("Location: /a", "Location: /a"),
    "eight interim replies": CONTINUE * 8 + hi(),
    "interim reply with a length": head("Content-Length: 9", status="HTTP/1.1 103 Early Hints") + hi(),
    "chunked in capitals": coded("CHUNKED"),
    "chunked in a list": coded(" , chunked"),
    "chunks beside a length": coded("chunked", "Content-Length: 7"),
    "chunks in HTTP/1.0": coded("chunked", status="HTTP/1.0 200 OK"),
    "extension": chunks(b'2;a=b;c="d;e"\r\nhi\r\n0;x\r\n\r\n'),
    "odd extension": chunks(b'2 ; a b=c, "d\r\nhi\r\n0;\r\n\r\n'),
    "extension of 4,000 bytes": chunks(b"2;" + b"a" * 4_000 + b"\r\nhi\r\n0\r\n\r\n"),
    "size with zeros": chunks(b"000000000000002\r\nhi\r\n0\r\n\r\n"),
    "size with blanks": chunks(b"2 \t\r\nhi\r\n0\r\n\r\n"),
    "chunks without CR": chunks(b"2\nhi\n0\n\n"),
    "trailers": chunks(b"2\r\nhi\r\n0\r\nA: 1\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\r\n"),
    "two chunks": chunked(b"h", b"i"),
    "surplus after a length": hi() + b" there",
    "surplus after chunks": coded("chunked") + b"GARBAGE",
    "reply after a length": hi() + said("6"),
    "reply after chunks": coded("chunked") + hi(),
}

SHORT = {  # all of these are 200 with the body "hi", marked "disconnect" when the connection closes
    "length not reached": said("3"),
    "length of 10^18": said("1000000000000000000"),
    "length of 2^63 - 1": said("9223372036854775807"),
    "inside a chunk": chunks(b"5\r\nhi"),
    "after a chunk": chunks(b"2\r\nhi"),
    "inside the end of a chunk": chunks(b"2\r\nhi\r"),
    "inside a size": chunks(b"2\r\nhi\r\n1"),
    "inside an extension": chunks(b"2\r\nhi\r\n1;a"),
    "before the empty line": chunks(b"2\r\nhi\r\n0\r\n"),
    "inside the empty line": chunks(b"2\r\nhi\r\n0\r\n\r"),
    "inside a trailer": chunks(b"2\r\nhi\r\n0\r\nA: b"),
}

REFUSED = {  # none of these is valid HTTP
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "Shoutcast": b"ICY 200 OK\r\n\r\nhi",
    "page without a head": b"<html>hi</html>",
    "NUL": b"\0",
    "empty line": b"\r\n" + hi(),
    "HTTP/0.9": hi(status="HTTP/0.9 200 OK"),
    "HTTP/1.2": hi(status="HTTP/1.2 200 OK"),
    "HTTP/2": hi(status="HTTP/2 200"),
    "small letters": hi(status="http/1.1 200 OK"),
    "status 1000": hi(status="HTTP/1.1 1000 OK"),
    "status 099": hi(status="HTTP/1.1 099 OK"),
    "status -200": hi(status="HTTP/1.1 -200 OK"),
    "two blanks": hi(status="HTTP/1.1  200 OK"),
    "no blank after the status": hi(status="HTTP/1.1 200OK"),
    "NUL in the reason": hi(status="HTTP/1.1 200 a\0b"),
    "CR in the reason": hi(status="HTTP/1.1 200 a\rb"),
    "switch of protocols": head("Upgrade: x", status="HTTP/1.1 101 Switching") + b"hi",
    "nine interim replies": CONTINUE * 9 + hi(),
    "garbage after an interim reply": CONTINUE + b"hello\r\n\r\n",
    "bad field of an interim reply": head("A b", status="HTTP/1.1 100 Continue") + hi(),
    "NUL in a value": hi("A: b\0c"),
    "escape in a value": hi("A: \x1b[31m"),
    "DEL in a value": hi("A: \x7f"),
    "CR in a value": hi("A: 1\rB: 2"),
    "two CRs": hi("A: 1\r"),
    "NUL in a name": hi("A\0: b"),
    "blank in a name": hi("A b: c"),
    "blank before the colon": head("Content-Length : 2") + b"hi",
    "Latin-1 in a name": hi("\xe4: b"),
    "no name": hi(": b"),
    "no colon": hi("A"),
    "fold without a field": hi(" A: b"),
    "1,001 fields": hi(*["A: b"] * 1_000),
    "head of 70 KB": hi(*[f"A: {LONG}"] * 70),
    "field of 70 KB": hi("A: " + "a" * 70_000),
    "interim replies of 70 KB": head(*[f"A: {LONG}"] * 10, status="HTTP/1.1 103 Hints") * 7 + hi(),
    "no length": said(""),
    "signed length": said("+2"),
    "negative length": said("-2"),
    "length in hexadecimal": said("0x2"),
    "length with a tail": said("2;"),
    "length of two words": said("2 2"),
    "lengths that differ": said("2, 3"),
    "length fields that differ": said("2\r\nContent-Length: 3"),
    "length of 2^63": said("9223372036854775808"),
    "length of 30 digits": said("9" * 30),
    "bad length beside chunks": coded("chunked", "Content-Length: x"),
    "two Locations": hi("Location: /a", "Location: /b"),
    "unknown coding": coded("foo"),
    "gzip, chunked": coded("gzip, chunked"),
    "chunked twice": coded("chunked, chunked"),
    "chunked with a parameter": coded("chunked;q=1"),
    "size is no number": chunks(b"zz\r\nhi\r\n0\r\n\r\n"),
    "second size is no number": chunks(b"2\r\nhi\r\nzz\r\nhi\r\n0\r\n\r\n"),
    "no size": chunks(b"\r\nhi\r\n0\r\n\r\n"),
    "size with 0x": chunks(b"0x2\r\nhi\r\n0\r\n\r\n"),
    "signed size": chunks(b"+2\r\nhi\r\n0\r\n\r\n"),
    "negative size": chunks(b"-2\r\nhi\r\n0\r\n\r\n"),
    "blank before a size": chunks(b" 2\r\nhi\r\n0\r\n\r\n"),
    "text after a size": chunks(b"2 x\r\nhi\r\n0\r\n\r\n"),
    "size of 16 digits": chunks(b"f" * 16 + b"\r\nhi"),
    "size of 18 digits": chunks(b"f" * 18 + b"\r\nhi"),
    "size that does not end": chunks(b"0" * 40_000),
    "CR in an extension": chunks(b"2;a\rb\r\nhi\r\n0\r\n\r\n"),
    "NUL in an extension": chunks(b"2;a\0b\r\nhi\r\n0\r\n\r\n"),
    "extension of 5,000 bytes": chunks(b"2;" + b"a" * 5_000 + b"\r\nhi\r\n0\r\n\r\n"),
    "chunk is longer": chunks(b"1\r\nhi\r\n0\r\n\r\n"),
    "chunk without an end": chunks(b"2\r\nhi0\r\n\r\n"),
    "chunk with two CRs": chunks(b"2\r\nhi\r\r\n0\r\n\r\n"),
    "chunk lines of CR": chunks(b"2\rhi\r0\r\r"),
    "trailer without a colon": chunks(b"2\r\nhi\r\n0\r\nA\r\n\r\n"),
    "trailer with a blank": chunks(b"2\r\nhi\r\n0\r\nA b: c\r\n\r\n"),
    "trailer with NUL": chunks(b"2\r\nhi\r\n0\r\nA: \0\r\n\r\n"),
    "folded trailer": chunks(b"2\r\nhi\r\n0\r\nA: b\r\n c\r\n\r\n"),
    "trailer of 5,000 bytes": chunks(b"2\r\nhi\r\n0\r\nA: " + b"a" * 5_000 + b"\r\n\r\n"),
    "trailers of 70 KB": chunks(b"2\r\nhi\r\n0\r\n" + b"A: aaaaaa\r\n" * 7_000 + b"\r\n"),
}

OTHERS = {  # reply, and its outcome: status, body, truncation mark, or kind of error
    "nothing": (b"", "disconnect"),
    "half a status line": (b"HTTP/1.1 20", "disconnect"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "disconnect"),
    "only an interim reply": (CONTINUE, "disconnect"),
    "no chunks": (chunks(b""), "200 disconnect"),
    "open end": (head() + b"hi", "200 hi"),
    "open end in HTTP/1.0": (head("Connection: keep-alive", status="HTTP/1.0 200 OK") + b"hi", "200 hi"),
    "identity": (head("Transfer-Encoding: identity", "Content-Length: 1") + b"hi", "200 hi"),
    "empty coding": (head("Transfer-Encoding:", "Content-Length: 1") + b"hi", "200 hi"),
    "status 999": (hi(status="HTTP/1.1 999 Denied"), "999 hi"),
    "205 with a body": (hi(status="HTTP/1.1 205 Reset"), "205 hi"),
    "204 with a body": (hi(status="HTTP/1.1 204 No Content"), "204"),
    "204 with an undeclared body": (head(status="HTTP/1.1 204 No Content") + b"hi", "204"),
    "204 in chunks": (coded("chunked", status="HTTP/1.1 204 No Content"), "204"),
    "304 with a body": (hi(status="HTTP/1.1 304 Not Modified"), "304"),
    "304 with a length": (head("Content-Length: 2", status="HTTP/1.1 304 Not Modified"), "304"),
    "surplus after nothing": (head("Content-Length: 0") + b"hi", "200"),
}

REPLIES = (
    {name: (reply, "200 hi") for name, reply in GOOD.items()}
    | {name: (reply, "200 hi disconnect") for name, reply in SHORT.items()}
    | {name: (reply, "protocol") for name, reply in REFUSED.items()}
    | OTHERS
)
"""Every reply, followed by the end of the connection, and how it ends."""

DOUBTFUL = {
    "HTTP/1.0",
    "chunks beside a length",
    "chunks in HTTP/1.0",
    "surplus after a length",
    "surplus after chunks",
    "reply after a length",
    "reply after chunks",
    "surplus after nothing",
    "204 with a body",
    "204 with an undeclared body",
    "204 in chunks",
    "304 with a body",
}
"""Valid replies after which a connection is not reused; after all other replies with explicit length it is."""

OPEN = {"open end", "open end in HTTP/1.0", "identity", "empty coding"}
"""Valid replies that end when the connection closes."""
