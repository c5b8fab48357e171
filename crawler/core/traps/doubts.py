"""URLs under doubt: only pages named them that repeat others to the letter. How they turn out decides how many of them
are asked for.

Rules:
- TRIALS of them are asked for on trust. Where fewer than one in RARE of the last TRIALS brought a new page while they
  keep naming new URLs, the others are refused.
- Samples of the refused ones are asked for anyway: number 16, 32, 64 ... They can restore the trust.
- Trust is counted for the host and for each class of URLs: their path without numbers and ids.
- A page that brings something new vouches for all URLs that it names.
- Memory is bounded: MOST classes, VOUCHED URLs.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.traps.groups import Landed
from crawler.core.urls.patterns import pattern_of

TRIALS = 60
RARE = 16
MOST = 500
VOUCHED = 20_000
HIGHEST = 1 + max(Landed)


class Trust(msgspec.Struct):
    """How URLs under doubt turned out: how many were `asked` for and `refused`; for the last TRIALS that landed a bit
    each, set in `worth` where the page brought something new, in `naming` where it named new URLs of its host."""

    asked: int = 0
    refused: int = 0
    landed: int = 0
    worth: int = 0
    naming: int = 0

    def land(self, is_worth: bool, names: bool) -> None:
        """One of them has landed."""
        self.landed += 1
        self.worth = (self.worth << 1 | is_worth) & ((1 << TRIALS) - 1)
        self.naming = (self.naming << 1 | names) & ((1 << TRIALS) - 1)

    @property
    def is_worth_it(self) -> bool:
        """Whether enough of them brought something new."""
        return self.worth.bit_count() * RARE >= min(self.landed, TRIALS)

    def is_lost(self, trials: int) -> bool:
        """Whether too few brought something new while they keep naming new URLs."""
        return self.asked >= trials and not self.is_worth_it and self.naming.bit_count() * 2 >= min(self.landed, TRIALS)

    def samples(self) -> bool:
        """Whether the next URL that would be refused is asked for anyway, as a sample."""
        self.refused += 1
        return self.refused >= 16 and self.refused & (self.refused - 1) == 0


class Doubts:
    """How the URLs under doubt of one host turned out: `trust` counts all of them."""

    __slots__ = ("_classes", "_vouched", "trust")

    def __init__(self) -> None:
        self.trust = Trust()
        self._classes: dict[int, Trust] = {}
        self._vouched: dict[int, int] = {}

    def left(self, url: str, doubt: int) -> int:
        """The doubt about a URL that was under this one when it was admitted."""
        if not self._vouched:
            return doubt
        return min(doubt, self._vouched.get(xxh3_64_intdigest(url.encode()), doubt))

    def refuses(self, url: str, trials: int) -> str:
        """Why a URL under doubt must not be asked for, "" where it may; so many `trials` are asked for on trust."""
        of_class = self._class(_class_of(url))
        if of_class.is_lost(trials) or (of_class.worth == 0 and self.trust.is_lost(trials + trials // 2)):
            known = of_class if of_class.is_lost(trials) else self.trust
            if not known.samples():
                new, of = known.worth.bit_count(), min(known.landed, TRIALS)
                return f"only repeated pages link to it; of {of} such URLs {new} brought a new page"
        return ""

    def ask(self, url: str) -> None:
        """Count a URL under doubt that is asked for."""
        self.trust.asked += 1
        self._class(_class_of(url)).asked += 1

    def land(self, url: str, is_repeated: bool, new: list[str]) -> None:
        """A URL under doubt landed, on a page that names these `new` URLs. It was worth it if the page is new, or names
        URLs of a class that proved worth it."""
        mark = _class_of(url)
        worth = not is_repeated
        for other in () if worth else new:
            known = self._classes.get(_class_of(other)) if _class_of(other) != mark else None
            worth = worth or (known is not None and known.worth > 0 and known.is_worth_it)
        self.trust.land(worth, bool(new))
        self._class(mark).land(worth, bool(new))

    def vouch(self, known: Iterable[str], landed: Landed) -> None:
        """A page names these known URLs: from now on they are under no more doubt than this page casts."""
        vouched, doubt = self._vouched, int(landed)
        for mark in map(xxh3_64_intdigest, map(str.encode, known)):
            if vouched.get(mark, HIGHEST) > doubt:
                vouched[mark] = doubt
        if len(vouched) > VOUCHED:
            for mark in list(vouched)[: VOUCHED // 2]:
                del vouched[mark]

    def _class(self, mark: int) -> Trust:
        if mark not in self._classes and len(self._classes) >= MOST:
            busiest = sorted(self._classes.items(), key=lambda entry: entry[1].asked)[-(MOST // 2) :]
            self._classes = dict(busiest)
        return self._classes.setdefault(mark, Trust())


@lru_cache(maxsize=4096)
def _class_of(url: str) -> int:
    """The mark of the class of a URL under doubt: its path without numbers and ids, 0 for all that consist of words."""
    path, _, query = url.partition("?")
    pattern = pattern_of(path) or (path if query else "")
    return xxh3_64_intdigest(pattern.encode(), 2) >> 1 if pattern else 0
