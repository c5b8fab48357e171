"""Links outside of anchors: the target of a refresh, link elements and `Link` headers.

Rules:
- A refresh, in a header or a meta, is read as browsers do: a time, then ";", "," or a space, then the URL, with or
  without "url=" and quotes (https://html.spec.whatwg.org, "shared declarative refresh steps"). Without a URL it reloads
  its page, which is no link.
- `Link` headers are read as RFC 8288 has it, leniently: "<url>; rel=next, <url>; rel=prev".
- A relation that names no page of its own ("alternate stylesheet") is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from crawler.core.reasons import NotFollowed

RELATIONS: Mapping[str, NotFollowed] = {
    "next": NotFollowed.LINK_NEXT,
    "prev": NotFollowed.LINK_PREV,
    "previous": NotFollowed.LINK_PREV,
    "alternate": NotFollowed.LINK_ALTERNATE,
    "canonical": NotFollowed.LINK_CANONICAL,
}
"""How links of these relations are counted where they are not followed."""

_SPACE = r"[\t\n\f\r ]"
_REFRESH = re.compile(
    rf"{_SPACE}*(?:[0-9]+[0-9.]*|\.[0-9.]*)(?:{_SPACE}*[;,]|{_SPACE}){_SPACE}*"
    rf"(?:[uU][rR][lL]{_SPACE}*={_SPACE}*)?(?:\"(?P<double>[^\"]*)|'(?P<single>[^']*)|(?P<bare>.*))",
    re.DOTALL,
)
_TARGET = re.compile(r"[,\t ]*<([^>]*)>")
_PARAMETER = re.compile(
    r'[\t ]*;[\t ]*([^\t ;,="]*)[\t ]*(?:=[\t ]*(?:"((?:[^"\\]|\\.)*)(?:"|\Z)|([^\t ;,"]*)))?', re.DOTALL
)


def refresh_target(value: str) -> str:
    """The URL, as written, that a refresh leads to; "" where it is no refresh or reloads its page."""
    match = _REFRESH.match(value)
    if match is None:
        return ""
    return (match["double"] or match["single"] or match["bare"] or "").strip("\t\n\f\r ")


def link_headers(values: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The (relations, URL as written) of `Link` headers. Links of another resource (`anchor`) get no relations."""
    for value in values:
        at = 0
        while target := _TARGET.match(value, at):
            at, relations, ours = target.end(), None, True
            while (parameter := _PARAMETER.match(value, at)) and parameter.end() > at:
                at = parameter.end()
                ours = ours and parameter[1].lower() != "anchor"
                if relations is None and parameter[1].lower() == "rel":
                    relations = parameter[2] if parameter[2] is not None else parameter[3] or ""
            yield (relations or "") if ours else "", target[1]


def relations(rel: str) -> list[str]:
    """Which of RELATIONS a list of relations has; none where it means a style sheet."""
    found = rel.lower().split()
    return [] if "stylesheet" in found else [name for name in found if name in RELATIONS]
