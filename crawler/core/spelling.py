"""One page, one spelling: links are respelled before anybody asks whether they are new.

Rules:
- Only what cannot mean another page is respelled. Escapes of letters, digits, "-", ".", "_" and "~" in a path are
  undone (RFC 3986 6.2.2.2: equivalent). Case, slashes and the order of a query stay: they may matter.
- Session ids are dropped, or a site that hands out a new one with every page never ends: parameters with names that are
  given to nothing else, whatever their value, and those of ambiguous names (`sid` is also the id of a story, and
  `session_id` that of a talk) where the value looks random.
- What is asked for is the new spelling, so that the URLs of a crawl are the same in every mode and every order. A site
  that answers it with a redirect to the old one gets its way, see `Crawl`. Seeds stay as they were given.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from crawler.core.rules import Rules
from crawler.core.urls import canonical

_NEEDLESS = re.compile(r"%(?:2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])")
_ALWAYS = r"jsessionid|phpsessid|phpsessionid|aspsessionid[a-z]*|asp\.net_sessionid|cfid|cftoken|oscsid|zenid|xtcsid"
_SOMETIMES = r"sid|sess|sessid|session|session_?id"
_RANDOM = (
    r"[0-9]{9,}|(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,}"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[a-z]*[0-9])[0-9a-z]{16,}"
)
_SESSION = re.compile(rf"(?:{_ALWAYS})=.*|(?:{_SOMETIMES})=(?:{_RANDOM})", re.IGNORECASE).fullmatch


def speller(rules: Rules) -> Callable[[str], str]:
    """What respells the links of a crawl: nothing, where its rules say so."""
    return respell if rules.respell else str


def respell(url: str) -> str:
    """The spelling under which a canonical URL is asked for; canonical too. Idempotent."""
    if "%" in url or ";" in url or "?" in url:  # few have any of them
        path, _, query = url.partition("?")
        ours = _NEEDLESS.sub(lambda escape: chr(int(escape[0][1:], 16)), path)
        if ";" in ours:
            ours = "/".join(_without_sessions(segment, ";", 1) for segment in ours.split("/"))
        kept = _without_sessions(query, "&", 0)
        if ours != path or kept != query:
            return canonical(f"{ours}?{kept}" if kept else ours) or url  # "/..;jsessionid=1"
    return url


def _without_sessions(text: str, mark: str, first: int) -> str:
    """Without those parameters, between marks, that are session ids; before the `first` there are none."""
    parts = text.split(mark)
    return mark.join([*parts[:first], *(part for part in parts[first:] if not _SESSION(part))])
