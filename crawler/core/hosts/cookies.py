"""The cookies of one crawl: which are kept, and which go with a request (RFC 6265, section 5, but stricter).

A cookie has a *home*: the host that set it ("https://a.example:8443"), or, where its Domain attribute asks for that,
all names below one ("https://.a.example"). A Set-Cookie header is parsed in crawler/fetch/http1/set_cookie.py.

Rules:
- A home has a scheme, and a host has a port: what was set under http never goes out under https, nor to another port of
  the same name. Browsers are about to do the same ("origin-bound cookies"); the RFC does not ask for it.
- Caps: PER_HOME cookies of one home and IN_ALL in a jar, as in browsers; SIZE_OF_HOME characters of one home, because
  servers refuse longer request headers, so a hostile page could otherwise make a site refuse us. The oldest are
  dropped, and counted.
- Longer paths come first, then older cookies (5.4). The order of a dict is the order of creation; a cookie that is set
  again keeps its place (5.3).
- Times are on the clock of the Crawl. A cookie without an expiry lasts as long as the crawl does, through every resume.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from crawler.core.messages import Actions, Cookie, CookieNote, SetCookie
from crawler.core.urls.canonical import host_of, path_of

PER_HOME = 180
IN_ALL = 3_300
SIZE_OF_HOME = 16_384


class Jar:
    """The cookies of one shard of a crawl."""

    def __init__(self) -> None:
        self._homes: dict[str, dict[tuple[str, str], Cookie]] = {}
        self._count = 0
        self._changed: dict[str, None] = {}
        self._dropped = 0

    def load(self, notes: Iterable[CookieNote]) -> None:
        """Restore the cookies that an earlier run stored."""
        for note in notes:
            for cookie in note.cookies:
                self._put(note.home, cookie)

    def take(self, cookies: Sequence[SetCookie], now: float) -> None:
        """Store the cookies that an answer set, and delete those it took back."""
        if not cookies:
            return
        for one in cookies:
            self._changed[one.home] = None
            if one.lasts is not None and one.lasts <= 0:
                self._forget(one.home, (one.path, one.name))
            else:
                until = None if one.lasts is None else now + one.lasts
                self._put(one.home, Cookie(one.path, one.name, one.value, until))
        for home in dict.fromkeys(one.home for one in cookies):
            self._fit(home)

    def header(self, url: str, now: float) -> str:
        """The Cookie header of a request for this URL; "" where there is none."""
        if not self._homes:
            return ""
        path = path_of(url)
        homes = [home for home in _homes_of(host_of(url)) if home in self._homes]
        found = [cookie for home in homes for cookie in self._live(home, now) if _covers(cookie.path, path)]
        found.sort(key=lambda cookie: -len(cookie.path))
        return "; ".join(f"{cookie.name}={cookie.value}" if cookie.name else cookie.value for cookie in found)

    def drain_into(self, actions: Actions) -> None:
        """Add the changes since the last call to the `actions`."""
        if self._changed:
            actions.cookies = [CookieNote(home, tuple(self._homes.get(home, {}).values())) for home in self._changed]
            actions.cookies_dropped = self._dropped
            self._changed, self._dropped = {}, 0

    def _live(self, home: str, now: float) -> list[Cookie]:
        """The cookies of a home that have not expired."""
        kept = self._homes[home]
        for key in [key for key, cookie in kept.items() if cookie.until is not None and cookie.until <= now]:
            self._changed[home] = None
            self._forget(home, key)
        return list(kept.values())

    def _put(self, home: str, cookie: Cookie) -> None:
        kept = self._homes.setdefault(home, {})
        key = cookie.path, cookie.name
        self._count += key not in kept
        kept[key] = cookie

    def _fit(self, home: str) -> None:
        """Enforce the caps."""
        kept = self._homes.get(home, {})
        size = sum(map(_size, kept.values()))
        while len(kept) > PER_HOME or size > SIZE_OF_HOME:
            size -= _size(next(iter(kept.values())))
            self._drop(home)
        while self._count > IN_ALL:
            self._drop(next(iter(self._homes)))

    def _drop(self, home: str) -> None:
        """Drop the oldest cookie of a home."""
        self._dropped += 1
        self._changed[home] = None
        self._forget(home, next(iter(self._homes[home])))

    def _forget(self, home: str, key: tuple[str, str]) -> None:
        kept = self._homes.get(home, {})
        self._count -= kept.pop(key, None) is not None
        if not kept:
            self._homes.pop(home, None)


def _homes_of(host: str) -> Iterator[str]:
    """The homes whose cookies go to a host: itself, and every name that it ends with."""
    yield host
    scheme, _, name = host.partition("://")
    name = name.partition(":")[0]
    while name:
        yield f"{scheme}://.{name}"
        name = name.partition(".")[2]


def _covers(cookie: str, path: str) -> bool:
    """Whether the path of a cookie covers that of a request (RFC 6265 5.1.4)."""
    return path == cookie or (path.startswith(cookie) and (cookie.endswith("/") or path[len(cookie)] == "/"))


def _size(cookie: Cookie) -> int:
    return len(cookie.name) + len(cookie.value) + 3
