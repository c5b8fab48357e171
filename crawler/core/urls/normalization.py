"""URL normalisation: one spelling for URLs that are equivalent by RFC 3986, before they are compared with known ones.

Rules:
- Only needless escapes are undone: those of letters, digits, "-", ".", "_" and "~" in a path (RFC 3986 6.2.2.2). Case,
  slashes, parameters and their order stay: they may matter.
- No URL is rewritten because of the name of a parameter. Whether a parameter matters is learnt from pages that were
  fetched, see crawler/core/traps/sameness.py.
- The new spelling is what is asked for, so that the URLs of a crawl are the same in every mode and every order. A site
  may redirect it to the old spelling, which is then followed, see `after_redirect`. Seeds stay as they were given.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from crawler.core.rules import Rules
from crawler.core.urls.canonical import canonical

_NEEDLESS = re.compile(r"%(?:2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])")


def normalizer(rules: Rules) -> Callable[[str], str]:
    """The function that normalises the links of a crawl: the identity where `rules.respell` is off."""
    return normalize if rules.respell else str


def normalize(url: str) -> str:
    """The spelling under which a canonical URL is asked for; canonical too. Idempotent."""
    if "%" in url:  # few have any
        path, mark, query = url.partition("?")
        ours = _NEEDLESS.sub(lambda escape: chr(int(escape[0][1:], 16)), path)
        if ours != path:
            return canonical(f"{ours}{mark}{query}") or url
    return url
