"""The ordinary pages of one host: a tree of numbered pages, so that every page can be reached from the root.

Page 0 is the root; the parent of page k is (k - 1) // branch. A page with children is a folder, a leaf is a file or a
query of its folder. A path contains its number, so a page is found by arithmetic and no path is stored.
"""

from __future__ import annotations

import re

import msgspec

from crawler.testweb.draw import SeededRandom
from crawler.testweb.prose import WORDS

_NUMBER = re.compile(r"-(\d+)(?:/|\.html|&sort=name)$")


class WebSite(msgspec.Struct, frozen=True):
    """The tree of one host: `size` pages; `salt` shifts the choice of words in its paths."""

    size: int
    branch: int
    salt: int

    def children(self, k: int) -> range:
        """The pages below page k."""
        first = k * self.branch + 1
        return range(min(first, self.size), min(first + self.branch, self.size))

    def parent(self, k: int) -> int:
        """The page above page k; the root is its own parent."""
        return (k - 1) // self.branch if k else 0

    def path(self, k: int) -> str:
        """Path and query of page k, in canonical form."""
        if k == 0:
            return "/"
        folder = "/" + "".join(f"{self._word(n)}/" for n in reversed(self._ancestors(k)))
        if self.children(k):
            return f"{folder}{self._word(k)}/"
        if k % 7 == 3:
            return f"{folder}?q={self._word(k)}&sort=name"
        return f"{folder}{self._word(k)}.html"

    def number(self, path: str) -> int | None:
        """The number of the page at a path, None where there is none in this tree."""
        if path == "/":
            return 0
        found = _NUMBER.search(path)
        if found is None or len(found[1]) > 9:
            return None
        k = int(found[1])
        return k if 0 < k < self.size and self.path(k) == path else None

    def neighbours(self, k: int, dice: SeededRandom) -> list[int]:
        """The pages that page k links to: root, parent, children, siblings and some of the rest, with repeats."""
        near = [n for n in (k - 1, k + 1) if 0 < n < self.size]
        far = [dice.below(self.size) for _ in range(4 + dice.below(6))]
        return [0, self.parent(k), *self.children(k), *near, *far, far[0]]

    def _ancestors(self, k: int) -> list[int]:
        """The folders between page k and the root, nearest first."""
        found = []
        while (k := self.parent(k)) > 0:
            found.append(k)
        return found

    def _word(self, k: int) -> str:
        return f"{WORDS[(k * 31 + self.salt) % len(WORDS)]}-{k}"


def relative(source: str, target: str) -> str:
    """A relative reference from path `source` to path `target` of the same host (RFC 3986 section 4.2)."""
    folder = source.split("?")[0].split("/")[1:-1]
    path, question, query = target.partition("?")
    parts = path.split("/")[1:]
    same = 0
    while same < min(len(folder), len(parts) - 1) and folder[same] == parts[same]:
        same += 1
    return ("../" * (len(folder) - same) or "./") + "/".join(parts[same:]) + question + query
