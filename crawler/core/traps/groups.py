"""Groups of URLs of one host: what is fetched of them, in windows, and whether they look like an endless site.

Rules:
- A group is the pattern of a URL (see crawler/core/urls/patterns.py), its first directory, or the whole host.
- Two kinds of windows are bad. *Repeated*: its pages are alike but for what a server makes up, while nearly each names
  new URLs of the group. *Endless*: its pages may all differ, but nearly each names several new URLs of the group, and
  hardly any link leads back to a known page.
- At least two bad windows in a row stop a group, once it has used up enough of its `budget` of pages: half of it where
  pages repeat, four fifths where they are endless.
- A window has WINDOW pages, fewer where several shards ask the host: each sees a part of its pages only.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.messages import Budget
from crawler.core.urls.patterns import pattern_of

WINDOW = 100
SHOWN = 100  # characters of a pattern


class Landed(IntEnum):
    """How a page compares with earlier ones: unlike them, alike but for what is made up, or the same to the letter.
    That is also the doubt that it casts on the URLs that it names."""

    UNIQUE = 0
    ALIKE = 1
    REPEATED = 2


UNIQUE, ALIKE, REPEATED = Landed


class Group(msgspec.Struct):
    """The counts of one group. `pages` were asked for in all, `told` of them are stored in the frontier. In the open
    window: `landed` pages, of which `alike` are like others and `generating` name new URLs of the group; `named` new
    URLs; `back` links to known ones; `repeats` are alike to the letter. `repeated` and `endless` count such windows in
    a row."""

    pages: int = 0
    told: int = 0
    stopped: str = ""
    landed: int = 0
    alike: int = 0
    generating: int = 0
    named: int = 0
    back: int = 0
    repeats: int = 0
    repeated: int = 0
    endless: int = 0

    def open_window(self) -> None:
        """Begin a window with zero counts."""
        self.landed = self.alike = self.generating = self.named = self.back = self.repeats = 0

    def judge_window(self) -> None:
        """Compare a full window with what endless sites look like."""
        generates = self.generating * 10 >= self.landed * 9
        repeats = self.alike * 10 >= self.landed * 9
        self.repeated = self.repeated + 1 if repeats and generates and self.back * 2 <= self.named * 5 else 0
        grows = self.named * 2 >= self.landed * 3 and self.back * 33 <= self.named and not self.repeats
        self.endless = self.endless + 1 if self.generating * 20 >= self.landed * 19 and grows else 0
        self.open_window()

    def add(self, landed: Landed, new: int, back: int, shards: int, budget: int) -> bool:
        """Count a page that names so many `new` URLs of the group and leads `back` to known ones. `shards` ask the
        host, `budget` is what the group is allowed. Returns whether that stops the group."""
        if self.stopped:
            return False
        self.landed += 1
        self.alike += landed is not UNIQUE
        self.generating += new > 0
        self.named += new
        self.back += back
        if landed is REPEATED:
            self.repeats += 1
        if self.landed < max(WINDOW // 4, WINDOW // shards):
            return False
        named, seen = self.named, self.landed
        self.judge_window()
        if self.repeated >= 2 and self.pages * 2 >= budget:
            self.endless = 0
            self.stopped = f"{seen} pages in a row differ only in numbers and names, and link to {named} new URLs"
        elif self.endless >= 2 and self.pages * 5 >= budget * 4:
            self.stopped = f"{seen} pages in a row link to {named} new URLs, and to hardly any known one"
        return bool(self.stopped)

    def store(self, host: str, mark: int) -> Budget:
        """The budget that the frontier stores of it from now on; `mark` is its own."""
        self.told = self.pages
        window = self.landed, self.alike, self.generating, self.named, self.back, self.repeats
        return Budget(host, mark, self.pages, stopped=self.stopped, evidence=(*window, self.repeated, self.endless))


@lru_cache(maxsize=4096)
def marks_of(url: str) -> tuple[int, int]:
    """The marks of the groups of a URL below its host, 0 where it has none: its pattern, its first directory."""
    pattern, slash = pattern_of(url), url.index("/", 8)
    end = url.partition("?")[0].find("/", slash + 1)
    by_pattern = xxh3_64_intdigest(pattern.encode()) >> 1 if pattern else 0
    return by_pattern, xxh3_64_intdigest(url[slash : end + 1].encode(), 1) >> 1 if end > 0 else 0


def group_name(url: str, place: int) -> str:
    """The name of a group of a URL for people; `place` is that of its mark in `marks_of`."""
    path = url[url.index("/", 8) :]
    return (path[: path.index("/", 1) + 1] if place else pattern_of(url))[:SHOWN]
