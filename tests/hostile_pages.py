"""Pages that make parsers expensive, each in any size: what a hostile site may send.

`page(name, size)` is the page of that name, at most `size` bytes of it. Only `bomb(size)` takes time and memory
quadratic in its size: parse it in a disposable process only.
"""

from __future__ import annotations

from itertools import chain, count, islice

REPEATED = {
    "nested div": b"<div>",
    "nested b": b"<b>",
    "nested a": b"<a href=/x>",
    "nested table": b"<table><tr><td>",
    "nested svg": b"<svg><foreignObject>",
    "nested template": b"<template>",
    "nested select": b"<select><option>",
    "nested list": b"<ul><li>",
    "misnested": b"<a href=/1><b><i><u><s><em></a>",
    "reopened": b"<b><p>",
    "fostered": b"<table>x<b>",
    "attributes that repeat": b"<a x=y x=y href=/z x=y>",
    "same link": b"<a href=/n>",
    "comments that open": b"<!--",
    "entities": b"&amp;amp;",
    "entities in a href": b'<a href="' + b"&amp;" * 100 + b'">',
    "entities that do not end": b"&CounterClockwiseContourIntegra",
    "numbers of characters": b"&#x41;",
    "<": b"<",
    "</": b"</",
    "<!": b"<!",
    "<?": b"<?",
    "<a": b"<a ",
    "cdata": b"<![CDATA[",
    "nul": b"\0",
    "nul in tags": b'<a href="/x\0y">t\0t</a><p a\0b=c>',
    "srcset": b'<img srcset="' + b"/i.png 2x, " * 1000 + b'">',
    "script": b"<script><!--<script>",
    "text": b"lorem ipsum dolor ",
    "high bytes": bytes(range(128, 256)),
    "gbk": "你好世界".encode("gbk"),
    "shift_jis": "これは".encode("shift_jis"),
    "windows-1251": "привет мир ".encode("cp1251"),
    "robots": b"<meta name=robots content='a, b, c'>",
    "bases": b"<base href=/x>",
    "rel": b"<a href=/x rel='a b c nofollo'>",
    "text areas": b"<textarea>",
    "ends": b"</p></div>",
}
NUMBERED = {
    "links": "<a href=/{0}>",
    "hosts": "<a href=http://h{0}.test/>",
    "links that are none": "<a href=mailto:{0}>",
    "fragments": "<a href=#{0}>",
    "one path below another": "<a href={0}/>",
    "formats": "<b x={0}>",
}
OPENED = {
    "comment": (b"<!-- ", b"never closed "),
    "attribute": (b'<a href="', b"/a"),
    "attributes": (b"<a href=/z ", b"x=y "),
    "title": (b"<title>", b"&lt;<p>"),
    "utf-16": (b"\xff\xfe", "<a href=/é>".encode("utf-16-le")),
    "xhtml": (b"<!DOCTYPE html [<!ENTITY a 'bomb'><!ENTITY b '&a;&a;'>]><html xmlns='x'>", b"<p>&b;</p><br/>"),
    "utf-8 that is none": (b"<meta charset=utf-8>", b"<a href=/x>\xff\xfe"),
    "charset that comes late": (b"<p>\xe9" + b" " * 2000 + b"<meta charset=koi8-r>", b"<a href=/\xc1>"),
}
NAMES = (*REPEATED, *NUMBERED, *OPENED, "attributes that differ")


def page(name: str, size: int) -> bytes:
    """The page with this name."""
    if name in REPEATED:
        return _filled(b"", REPEATED[name], size)
    if name in NUMBERED:
        shortest = len(NUMBERED[name].format(0))
        return "".join(NUMBERED[name].format(number) for number in range(size // shortest)).encode()[:size]
    if name in OPENED:
        return _filled(*OPENED[name], size)
    return b"".join(chain([b"<a href=/z "], (b"x%d=y " % number for number in islice(count(), size // 6))))[:size]


def bomb(size: int, tag: str = "b") -> bytes:
    """Unclosed formatting elements, and as many blocks that each reopen all of them."""
    formats = "".join(islice((f"<{tag} x{number}>" for number in count()), size // 2 // (len(tag) + 8)))
    return _filled(b"<p>" + formats.encode(), b"<p>x", size)


def _filled(head: bytes, rest: bytes, size: int) -> bytes:
    return (head + rest * (size // len(rest) + 1))[:size]
