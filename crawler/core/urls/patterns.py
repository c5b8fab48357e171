"""The shape of a URL: whether it looks like one of an endless path, and the pattern that it shares with similar URLs.

Rules:
- `check_shape` judges a URL alone: too many segments in its path, segments that repeat (`/a/b/a/b/a/b`: relative links
  that never end), too many keys in its query. Repeated numbers are a date or a tile (`/11/11/11`), not a loop.
- The pattern of a URL is its path and the keys of its query without values. In the path these are collapsed: numbers,
  hexadecimal ids, UUIDs, other mixtures of letters and digits and, beside any of these, English months. A URL in which
  nothing is collapsed shares its pattern with no other, so it has none.
- `fingerprints` makes the two marks of a page. The exact one covers its text and the files it embeds (the text of a
  photo page may be the same everywhere). The loose one leaves out of that text what a server makes up: digits, the
  letters of hexadecimal ids, punctuation, and words of the page's own URL. The files are named by their paths without
  hosts, and without long ids that links of the page have, too: these are session ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from xxhash import xxh3_64_intdigest

from crawler.core.reasons import Reason
from crawler.core.rules import Rules
from crawler.core.urls.canonical import path_of

_VARYING = re.compile(
    r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|(?<![0-9A-Za-z])(?:(?=[A-Fa-f]*[0-9])[0-9A-Fa-f]{8,}|(?=[A-Za-z]*[0-9]+[A-Za-z])[0-9A-Za-z]{6,})(?![0-9A-Za-z])"
    r"|[0-9]+"
)
_DIGIT = re.compile("[0-9]")
_MONTH = re.compile(
    r"(?<![A-Za-z])(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:tember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)(?![A-Za-z])",
    re.IGNORECASE,
)
_HOST = re.compile("(?:[A-Za-z]+:)?//[^/]*")
_ID = re.compile("(?=[A-Za-z]*[0-9])[0-9A-Za-z]{8,}")
_COUNTED = b"0123456789abcdef \t\r\n\f\v!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_WORD = re.compile("[a-z]{3,}")
ECHOES = 16
"""Words of its own URL that are taken out of a text at most."""
SHORT = 3
"""Letters that identify a word."""
LONGEST_FILE = 1024
"""Characters of the name of a file that count."""
EXACT = 1 << 17
"""Characters of a text that the exact fingerprint covers."""
LOOSE = 1 << 14
"""Bytes of it that the loose fingerprint covers."""

Rejection = tuple[Reason, str]
"""The reason why a URL is not asked for, and the details as text for people."""


def check_shape(url: str, rules: Rules) -> Rejection | None:
    """Why the shape of a canonical URL is refused, None where it is not."""
    path = path_of(url)
    keys = url.partition("?")[2].count("&") + 1
    if keys > rules.max_query_keys:
        return Reason.MANY_KEYS, f"{keys} keys in its query"
    if path.count("/") <= min(rules.max_path_segments, rules.max_path_repeats):
        return None  # nearly all
    segments = path.strip("/").split("/")
    if len(segments) > rules.max_path_segments:
        return Reason.DEEP_PATH, f"{len(segments)} segments in its path"
    repeated = _repeated(segments, rules.max_path_repeats)
    return (Reason.REPEATED_PATH, f"{'/'.join(repeated)!r} repeats in its path") if repeated else None


def _repeated(segments: list[str], most: int) -> list[str]:
    """The segments that stand more than `most` times in a row in a path; empty where none do."""
    if len(set(segments)) == len(segments):
        return []
    for size in range(1, len(segments) // (most + 1) + 1):
        row = size * most  # so many segments in a row, each equal to the one `size` before it
        equal = 0
        for place in range(size, len(segments)):
            equal = equal + 1 if segments[place] == segments[place - size] else 0
            group = segments[place - size + 1 : place + 1]
            if equal >= row and not all(segment.isdigit() for segment in group):
                return group
    return []


def pattern_of(url: str) -> str:
    """The pattern of a canonical URL, "" where no other URL can share it."""
    path, _, query = url.partition("?")
    collapsed, times = path[url.index("/", 8) :], 0
    if _DIGIT.search(collapsed):  # without one nothing varies, and most URLs of many sites have none
        collapsed, times = _VARYING.subn("0", collapsed)
    if times:
        collapsed = _MONTH.sub("0", collapsed)
    elif not query:
        return ""
    keys = {_VARYING.sub("0", part.partition("=")[0]) for part in query.split("&")} if query else ()
    return f"{collapsed}?{'&'.join(sorted(keys))}" if keys else collapsed


def fingerprints(text: str, url: str = "", sources: Iterable[str] = (), links: Iterable[str] = ()) -> tuple[int, int]:
    """The two fingerprints of a page: exact, and loose, that is without what its server may have made up. See the
    module."""
    files = "\n".join(_files(sources, links))[:EXACT].encode("utf-8", "surrogatepass")
    encoded = text[:EXACT].encode("utf-8", "surrogatepass")
    return xxh3_64_intdigest(encoded + files), xxh3_64_intdigest(_loose(encoded[:LOOSE], url) + files)


def _loose(text: bytes, url: str) -> bytes:
    """What is left of a text without what a server makes up. Words are looked for when all else is gone, which leaves
    a third of the text; those of which too little would be left are looked for before."""
    words = sorted(set(_WORD.findall(url.partition("://")[2].lower())), key=len)[: -ECHOES - 1 : -1]
    echoes = [(word, word.translate(None, _COUNTED)) for word in map(str.encode, words)]
    loose = text.lower()
    for word, rest in echoes:
        if len(rest) < SHORT:
            loose = loose.replace(word, b"")
    loose = loose.translate(None, _COUNTED)
    for _, rest in echoes:
        if len(rest) >= SHORT:
            loose = loose.replace(rest, b"")
    return loose


def _files(sources: Iterable[str], links: Iterable[str]) -> Iterator[str]:
    linked = ""
    for source in sources:
        path, names = _file(source[:LONGEST_FILE])
        for name in names:
            linked = linked or "\n".join(links)
            if name in linked:
                path = path.replace(name, "")
        yield path


@lru_cache(maxsize=4096)
def _file(source: str) -> tuple[str, tuple[str, ...]]:
    """The path of a file that a page embeds, and what in it may be an id; pages of a site embed the same files."""
    path = _HOST.sub("", source)
    return path, tuple(_ID.findall(path))
