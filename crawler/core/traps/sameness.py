"""Duplicate URLs of one page: which part of the URLs of a host makes no difference, learnt from pages that were
fetched.

Theory of operation. Two pages with the same fingerprint whose URLs differ in exactly one part make a *hypothesis*: that
this part makes no difference. A part is the order of the parameters or the value of one parameter ("?a=1", ";a=1") in a
directory, or one segment of a path behind a fixed beginning. Each further page whose URL has the part tests the
hypothesis.
Its *key* for a URL is the URL without the part. Two URLs with one key agree where their pages have one fingerprint,
else they contradict it. A hypothesis that passes its tests becomes a *rule*: of the URLs with one key one is fetched.

Rules:
- A hypothesis becomes a rule after AGREED keys with pages of at least DISTINCT contents, where at most one test in
  FALSE contradicted it. Session ids agree everywhere; the ids of stories contradict at once.
- A part that can be skipped has many values (VALUES), and at least half of its pages name new URLs. Versions, languages
  and sort orders have few values; the photos of a gallery are listed elsewhere, so their pages name nothing new.
- A rule is tested as long as it is used: of the URLs that it skips, number 16, 32, 64 ... are fetched anyway. One
  contradiction ends it.
- Memory is bounded: HYPOTHESES of a host, KEYS of each.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from xxhash import xxh3_64_intdigest

AGREED = 8
DISTINCT = 4
VALUES = 12
FALSE = 20
HYPOTHESES = 16
KEYS = 4096
SEGMENTS = 8  # segments of a path that are compared
PARTS = 24  # parts that a URL may have to be compared at all

Part = tuple[str, str, str]
"""What a hypothesis is about: its kind ("order", "parameter", "matrix" for one behind a semicolon, "segment"), where
URLs that it is about begin, and the name of a parameter."""


class Hypothesis(msgspec.Struct):
    """The assumption that `part` makes no difference, and its evidence. `contents` has a fingerprint by key (0: not
    read)."""

    part: Part
    contents: dict[int, int] = {}
    agreed: set[int] = set()
    values: set[int] = set()
    tests: int = 0
    contradictions: int = 0
    pages: int = 0
    generating: int = 0
    is_rule: bool = False
    skipped: int = 0
    named: set[int] = set()

    def test(self, key: int, value: int, content: int) -> None:
        """Test the assumption with one page."""
        if len(self.values) < VALUES * 4:
            self.values.add(value)
        known = self.contents.get(key)
        if known is None:
            if len(self.contents) < KEYS:
                self.contents[key] = content
        elif known in (0, content):
            self.contents[key] = content
            self.tests += 1
            self.agreed.add(key)
        else:
            self.tests += 1
            self.contradictions += 1
            self.is_rule = False

    def judge(self) -> None:
        """Make it a rule where the evidence suffices."""
        enough = len(self.agreed) >= AGREED and self.contradictions * FALSE <= self.tests
        if not enough or self.is_rule or len({self.contents[key] for key in self.agreed}) < DISTINCT:
            return
        many = self.part[0] == "order" or (len(self.values) >= VALUES and self.generating * 2 >= self.pages)
        self.is_rule = many and not (self.contradictions and self.skipped)

    def skips(self, key: int) -> bool:
        """Whether to skip a URL because another one with its key was asked for."""
        if not self.is_rule or key not in self.contents:
            return False
        self.skipped += 1
        return self.skipped < 16 or self.skipped & (self.skipped - 1) != 0


class Sameness:
    """What is known of the URLs of one host."""

    __slots__ = ("_hypotheses",)

    def __init__(self) -> None:
        self._hypotheses: dict[Part, Hypothesis] = {}

    def __bool__(self) -> bool:
        return bool(self._hypotheses)

    def compare(self, first: str, second: str, content: int) -> bool:
        """Two URLs had one content: make a hypothesis of the part in which they differ, if it is one. Returns whether
        that part has few values so far, as versions or languages have."""
        part = difference(first, second)
        hypothesis = self._hypotheses.get(part) if part is not None else None
        if part is not None and hypothesis is None and len(self._hypotheses) < HYPOTHESES:
            hypothesis = self._hypotheses[part] = Hypothesis(part)
            key, value = _split(first, part) or (0, 0)
            hypothesis.test(key, value, content)
        return hypothesis is not None and hypothesis.part[0] != "order" and len(hypothesis.values) < VALUES

    def learn(self, url: str, content: int, generates: bool) -> None:
        """Test the hypotheses with a page that was read. `generates`: it named new URLs of its host."""
        for hypothesis in self._hypotheses.values():
            split = _split(url, hypothesis.part)
            if split is not None:
                hypothesis.pages += 1
                hypothesis.generating += generates
                hypothesis.test(*split, content)
                hypothesis.judge()

    def asked(self, url: str) -> None:
        """A URL is asked for: rules skip others with the same key from now on."""
        for hypothesis in self._hypotheses.values():
            if hypothesis.is_rule and (split := _split(url, hypothesis.part)) and len(hypothesis.contents) < KEYS:
                hypothesis.contents.setdefault(split[0], 0)

    def skips(self, url: str) -> str:
        """Why a URL need not be asked for, as text for people; "" where it must be."""
        for hypothesis in self._hypotheses.values():
            if hypothesis.is_rule and (split := _split(url, hypothesis.part)) and hypothesis.skips(split[0]):
                return f"{_in_words(hypothesis.part)} made no difference in {hypothesis.tests} tests"
        return ""

    def has_named(self, url: str) -> bool:
        """Whether a URL that a rule takes for the same as this one was named or asked for before. Remembers this
        one."""
        found = False
        for hypothesis in self._hypotheses.values():
            if hypothesis.is_rule and (split := _split(url, hypothesis.part)):
                found = found or split[0] in hypothesis.named or split[0] in hypothesis.contents
                if len(hypothesis.named) < KEYS:
                    hypothesis.named.add(split[0])
        return found

    def rules(self) -> Iterator[tuple[int, Hypothesis]]:
        """The rules that must be stored, each with a stable number."""
        for part, hypothesis in self._hypotheses.items():
            if hypothesis.is_rule:
                yield xxh3_64_intdigest("\n".join(part).encode()) >> 1, hypothesis

    def recall(self, hypothesis: Hypothesis) -> None:
        """Restore a rule of an earlier run."""
        self._hypotheses[hypothesis.part] = hypothesis


def difference(first: str, second: str) -> Part | None:
    """The part in which two URLs of one host differ; None where they differ in several, or in one that cannot be
    learnt."""
    path, _, query = first.partition("?")
    other_path, _, other_query = second.partition("?")
    if path == other_path:
        return _difference_of_queries(path[: path.rindex("/") + 1], query.split("&"), other_query.split("&"))
    ours, theirs = path.split("/"), other_path.split("/")
    if query != other_query or len(ours) != len(theirs) or len(ours) > PARTS:
        return None
    places = [place for place, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
    if len(places) != 1 or places[0] >= SEGMENTS + 3:
        return None
    where = "/".join(ours[: places[0]]) + "/"
    (name, *ours), (other_name, *theirs) = ours[places[0]].split(";"), theirs[places[0]].split(";")
    if name == other_name and len(ours) <= PARTS and len(theirs) <= PARTS:
        return _named("matrix", where, ours, theirs)
    return "segment", where, ""


def _difference_of_queries(where: str, ours: list[str], theirs: list[str]) -> Part | None:
    if max(len(ours), len(theirs)) > PARTS:
        return None
    return ("order", where, "") if sorted(ours) == sorted(theirs) else _named("parameter", where, ours, theirs)


def _named(kind: str, where: str, ours: list[str], theirs: list[str]) -> Part | None:
    """The one parameter in which two lists of parameters differ."""
    names = {part.partition("=")[0] for part in set(ours) ^ set(theirs)} - {""}
    name = names.pop() if len(names) == 1 else ""
    return (kind, where, name) if name and _without(ours, name) == _without(theirs, name) else None


def _without(parts: list[str], name: str) -> list[str]:
    return [part for part in parts if part and part.partition("=")[0] != name]


def _split(url: str, part: Part) -> tuple[int, int] | None:
    """The key of a URL and the value of the part, as 64-bit hashes; None where it has no such part."""
    kind, where, name = part
    if not url.startswith(where):
        return None
    path, mark, query = url[len(where) :].partition("?")
    if kind == "segment":
        value, slash, rest = path.partition("/")
        return _marks(f"{slash}{rest}{mark}{query}", value)
    if kind == "matrix":
        first, slash, rest = path.partition("/")
        last, *parts = first.split(";")
        parts = parts[:PARTS]
        named = [part for part in parts if part.partition("=")[0] == name]
        key = f"{last};{';'.join(_without(parts, name))}{slash}{rest}{mark}{query}"
        return _marks(key, named[0]) if named else None
    parts = query.split("&")
    if not query or len(parts) > PARTS or "/" in path:
        return None
    if kind == "order":
        return _marks(f"{path}?{'&'.join(sorted(parts))}", query)
    named = [part for part in parts if part.partition("=")[0] == name]
    return _marks(f"{path}?{'&'.join(_without(parts, name))}", "&".join(named)) if named else None


def _marks(key: str, value: str) -> tuple[int, int]:
    return xxh3_64_intdigest(key.encode()), xxh3_64_intdigest(value.encode())


def _in_words(part: Part) -> str:
    kind, where, name = part
    where = where[where.index("/", 8) :][:80]
    if kind == "order":
        return f"the order of the parameters in {where}"
    return f"the segment after {where}" if kind == "segment" else f"the parameter {name!r} in {where}"
