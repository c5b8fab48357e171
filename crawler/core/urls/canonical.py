"""Canonical URLs: one spelling for each, made by the WHATWG algorithm that browsers use (https://url.spec.whatwg.org).

Rules:
- Only http and https URLs are accepted. The fragment never reaches a server and credentials must not leak: both are
  dropped.
- Anything else is None, never an exception: every href is untrusted. Lone surrogates become U+FFFD.
- A canonical URL is ASCII and always has a "/" after its host, so the cheap slices below need no parser.

Navigation repeats on every page of a site, so `Resolver` remembers (directory of the base, href without its fragment)
and the result, the scope's verdict included; hrefs that are not wanted are kept apart, with the reason. That is sound
because resolution reads no more of a base than its directory. The exceptions need the whole base and are never
remembered: an empty href, "?query" and a bare "http:", also behind the whitespace that parsing drops. Fragments are cut
off first: on a page of a manual three hrefs in four differ from another one only by the fragment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import cast

import can_ada

from crawler.core.reasons import NotFollowed

_LONGEST = 1024  # characters of a href worth remembering
_ENTRY = 300  # bytes that an entry costs beside its characters: two string headers and a slot in a dict, rounded up
_AUTHORITY = re.compile(r"\A[\x00- ]*(?:https?:)?[/\\]{2}[^/\\?#]*", re.IGNORECASE)
_PUNY = re.compile(r"(?<=[/\\@.])xn(?=--)", re.IGNORECASE)
_ANYWHERE = re.compile(r"(?!https?:(?![/\\]))[^\x00- ?#][^\t\n\r]*", re.IGNORECASE).fullmatch


Refused = dict[str, NotFollowed]
"""Hrefs that are no links of the crawl, with the reason."""


def canonical(url: str) -> str | None:
    """The canonical form of an absolute URL, None where it is no http(s) URL. Idempotent."""
    return _spell(_parse(url, None)) or _with_punycode_as_it_is(url, "")


def resolve(base: str, href: str) -> str | None:
    """The canonical form of `href` as found on the page `base` (canonical), None where it is no http(s) URL."""
    return _spell(_parse(href, _parse(base, None))) or _with_punycode_as_it_is(href, base)


def host_of(url: str) -> str:
    """The host, "scheme://name[:port]", of a canonical URL."""
    return url[: url.index("/", 8)]


def path_of(url: str) -> str:
    """The path of a canonical URL, percent-encoded, without its query."""
    start = url.index("/", 8)
    end = url.find("?", start)
    return url[start:] if end < 0 else url[start:end]


def _without_fragment(href: str) -> str:
    """A href up to its fragment. A space counts before a fragment, not at the end of a href."""
    text = href.partition("#")[0]
    return text if not text or text[-1] > " " else href


class Resolver:
    """Resolves the hrefs of pages and remembers answers, in about `memory` bytes (roughly, where threads share it).

    `admits` decides which canonical URLs are wanted, `respell` how they are spelt; their answers must not change.
    """

    def __init__(
        self,
        admits: Callable[[str], bool] = bool,
        memory: int = 32 * 1024 * 1024,
        respell: Callable[[str], str] = str,
    ) -> None:
        self._admits = admits
        self._respell = respell
        self._memory = memory
        self._left = memory
        self._directories: dict[str, tuple[dict[str, str], Refused]] = {}  # href -> canonical URL, href -> why none

    def resolve_all(self, base: str, hrefs: Iterable[str], refused: Refused | None = None) -> list[str]:
        """The distinct http(s) URLs that are wanted among `hrefs`, resolved on the page `base` (canonical), in order of
        first appearance. The others are put into `refused`, with the reason."""
        parsed: can_ada.URL | None = None
        known, others = self._directory(base)
        distinct = list(dict.fromkeys([href if "#" not in href else _without_fragment(href) for href in hrefs]))
        urls = [*map(known.get, distinct)]  # nearly all are known: a loop over them would cost more than all the rest
        place = -1
        for _ in range(urls.count(None)):
            place = urls.index(None, place + 1)
            href = distinct[place]
            why = others.get(href)
            if why is None:
                parsed = parsed or _parse(base, None)
                found = self._learn(known, others, base, parsed, href)
                if isinstance(found, NotFollowed):
                    why = found
                else:
                    urls[place] = found
            if why is not None and refused is not None:
                refused[href] = why
        wanted = dict.fromkeys(urls)
        wanted.pop(None, None)
        return cast(list[str], [*wanted])

    def _directory(self, base: str) -> tuple[dict[str, str], Refused]:
        path = base.partition("?")[0]
        directory = path[: path.rfind("/") + 1]
        known = self._directories.get(directory)
        if known is None:
            self._pay(len(directory))
            known = self._directories[directory] = ({}, {})
        return known

    def _learn(
        self, known: dict[str, str], others: Refused, base: str, parsed: can_ada.URL | None, href: str
    ) -> str | NotFollowed:
        found = self._resolve(base, parsed, href)
        if len(href) <= _LONGEST and _ANYWHERE(href):
            url = "" if isinstance(found, NotFollowed) else found
            if self._pay(len(href) + len(url)):
                known.clear()
                others.clear()
            if isinstance(found, NotFollowed):
                others[href] = found
            else:
                known[href] = found
        return found

    def _resolve(self, base: str, parsed: can_ada.URL | None, href: str) -> str | NotFollowed:
        if not href:
            return base if self._admits(base) else NotFollowed.EXCLUDED
        target = _parse(href, parsed)
        url = _spell(target) or _with_punycode_as_it_is(href, base)
        if url is None:
            return NotFollowed.INVALID if target is None else NotFollowed.SCHEME
        url = self._respell(url)
        return url if self._admits(url) else NotFollowed.EXCLUDED

    def _pay(self, characters: int) -> bool:
        """Charge an entry to the memory; True where that was full and everything had to be forgotten."""
        self._left -= characters + _ENTRY
        full = self._left < 0
        if full:
            self._directories = {}
            self._left = self._memory
        return full


def _parse(text: str, base: can_ada.URL | None) -> can_ada.URL | None:
    try:
        return can_ada.parse(text) if base is None else base + text
    except ValueError:
        return None
    except TypeError:  # can_ada takes UTF-8 only; WHATWG URLs are made of scalar values
        return _parse(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), base)


def _with_punycode_as_it_is(href: str, base: str) -> str | None:
    """The canonical form of a URL whose host has a label like "xn--0" that stands for no Unicode name, else None.

    Since 2026 the standard keeps such a host, if it is ASCII; can_ada 3.0 refuses it. So it is parsed with another
    prefix, which is then put back.
    """
    text = f"{base} {href}".lower()
    if "xn--" not in text or not href.isascii():
        return None
    prefix = next((f"x{letter}" for letter in "qjzkvwy" if f"x{letter}--" not in text), "xx")
    shown_base, shown = (_AUTHORITY.sub(lambda name: _PUNY.sub(prefix, name[0]), said) for said in (base, href))
    url = _spell(_parse(shown, _parse(shown_base, None) if base else None))
    if url is None or "xn--" in (host := host_of(url)):  # then the host was not ASCII after all
        return None
    return host.replace(f"{prefix}--", "xn--") + url[len(host) :]


def _spell(url: can_ada.URL | None) -> str | None:
    if url is None:
        return None
    href = url.href
    if not href.startswith(("https://", "http://")):
        return None
    if "@" in href and url.has_credentials():
        url.username = url.password = ""
        href = url.href
    return href.partition("#")[0] if "#" in href else href
