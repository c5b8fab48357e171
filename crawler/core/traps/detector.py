"""Trap detection for endless sites: what a host may still be asked for, judged by what it was asked for and what came.

Theory of operation. An endless site differs from a large one in two ways that are measured here: its pages bring little
that is new, and these very pages keep naming new URLs, while the URLs of a finite site are all known at some time. So
likeness alone stops nothing (a gallery), nor does size (a shop). Where a URL is about to be asked for the first time
the `TrapDetector` of its host may refuse it, and it settles at once, with the reason. There are four brakes:

1. *Same pages* (`same_pages`): a part of its URLs makes no difference, learnt from samples; see
   crawler/core/traps/sameness.py.
2. *Doubt* (`repeated_pages`): a page whose exact fingerprint was seen before casts doubt on the URLs that only such
   pages name. They are asked for last, and TRIALS of them on trust. Where fewer than one in RARE of the last TRIALS
   brought a new page, the others are refused except for samples, which grow rare and can restore the trust. A page that
   repeats one whose URL differs in a part with few values (a version) casts no doubt.
3. *Repeated* (`repeated_pages`): windows of pages of a group are alike but for what a server makes up (digits, the
   words of the URL), while nearly each page names new URLs of the group. Then URLs under doubt are refused.
4. *Endless* (`endless`): windows of pages may all differ, but nearly each names several new URLs of the group, and
   hardly any link leads back to a known page (generated text).

Rules:
- A group is the pattern of a URL (see crawler/core/urls/patterns.py), its first directory, or the whole host. A larger
  group is judged only where no smaller one of the URL has been stopped since its window began. A page that names mostly
  URLs outside of its group is no repetition there, whatever its text: it may be one of many lists.
- `pattern_pages` is what a group is allowed before brakes 3 and 4 may stop it: brake 3 after half of it, brake 4 after
  four fifths. Each needs at least two such windows in a row. Only pages with links count: others lead nowhere.
- Seeds and their redirect targets may have any shape; only `max_host_pages` refuses them. Another attempt is no new
  URL.
- Counts, stops, rules and the state of trust survive: the frontier stores them every TOLD pages, when something stops,
  when the host is forgotten and at the end of a run that is not the last. So do KEPT of the fingerprints that were seen
  more than once; any other page may count as new once more in the next run. A kill loses the count of fewer than TOLD
  pages.
- Memory is bounded for all hosts together (see crawler/core/hosts/hosts.py), and for each: beyond MOST groups the half
  with fewest pages is forgotten, beyond `remembered` fingerprints the older half.
- Where a host is spread over shards each shard counts a page as many times as there are shards, as if it saw all of the
  host. A `suspicious` host is asked by its owner alone from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import lru_cache

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.messages import Budget, Link
from crawler.core.reasons import Reason
from crawler.core.rules import Rules
from crawler.core.traps.sameness import Hypothesis, Sameness
from crawler.core.urls.patterns import Rejection, check_shape, pattern_of

WINDOW = 100
TRIALS = 60
RARE = 16
TOLD = 16
SHOWN = 100  # characters of a pattern
WHOLE = 0
"""Stands for the host itself among the marks of its groups."""
DOUBT = 1
"""Stands for the URLs under doubt."""
MOST = 500
HUBS = 300
VOUCHED = 20_000
LIFTED = 10**7
"""`pattern_pages` beyond which nothing is judged."""
FEW = 3
KEPT = 64
REMEMBERED = 4096


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


class TrapDetector:
    """What one host was asked for, and what came back."""

    __slots__ = (
        "_classes",
        "_exact",
        "_groups",
        "_hubs",
        "_loose",
        "_often",
        "_often_loose",
        "_rules",
        "_same",
        "_trust",
        "_vouched",
        "_weight",
        "_whole",
        "has_doubts",
        "remembered",
        "suspicious",
    )

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._whole = Group()
        self._groups: dict[int, Group] = {}
        self._trust = Trust()
        self._classes: dict[int, Trust] = {}
        self._same = Sameness()
        self._exact: dict[int, str] = {}
        self._loose: dict[int, None] = {}
        self._often: dict[int, None] = {}
        self._often_loose: dict[int, None] = {}
        self._hubs: dict[str, int] = {}
        self._vouched: dict[int, int] = {}
        self._weight = 1
        self.remembered = REMEMBERED
        self.suspicious = False
        self.has_doubts = False

    def share(self, shards: int) -> None:
        """Set how many shards ask the host from now on."""
        self._weight = shards

    # ---- before a fetch ----------------------------------------------------------------------------------------------

    def refuses(self, link: Link) -> Rejection | None:
        """Why this URL must not be asked for, None where it may."""
        if not link.depth:
            return (Reason.HOST_LIMIT, "") if self._is_spent else None
        refusal = check_shape(link.url, self._rules)
        if refusal is not None:
            return refusal
        if self._is_spent:
            return Reason.HOST_LIMIT, ""
        doubt = link.doubt
        if doubt and self._vouched:
            doubt = min(doubt, self._vouched.get(xxh3_64_intdigest(link.url.encode()), doubt))
        for group in self._stopped(link.url):
            if group.endless or doubt:
                return (Reason.ENDLESS if group.endless else Reason.REPEATED_PAGES), group.stopped
        if self._rules.merge_same_pages and self._same and (why := self._same.skips(link.url)):
            return Reason.SAME_PAGES, why
        return self._refuses_doubted(link.url) if doubt > 1 else None

    @property
    def _is_spent(self) -> bool:
        return self._whole.pages >= self._rules.max_host_pages

    def _stopped(self, url: str) -> list[Group]:
        found = [self._groups.get(mark) for mark in _marks(url)]
        return [group for group in (*found, self._whole) if group is not None and group.stopped]

    def _refuses_doubted(self, url: str) -> Rejection | None:
        if self._rules.pattern_pages > LIFTED:
            return None
        of_class, trials = self._class(_class_of(url)), max(16, TRIALS // self._weight)
        if of_class.is_lost(trials) or (of_class.worth == 0 and self._trust.is_lost(trials + trials // 2)):
            known = of_class if of_class.is_lost(trials) else self._trust
            if not known.samples():
                new, of = known.worth.bit_count(), min(known.landed, TRIALS)
                return Reason.REPEATED_PAGES, f"named by repeated pages only, as {of} others, {new} of which were new"
        return None

    def _class(self, mark: int) -> Trust:
        if mark not in self._classes and len(self._classes) >= MOST:
            busiest = sorted(self._classes.items(), key=lambda entry: entry[1].asked)[-(MOST // 2) :]
            self._classes = dict(busiest)
        return self._classes.setdefault(mark, Trust())

    def count(self, link: Link) -> None:
        """Count a URL that is asked for the first time."""
        self._whole.pages += self._weight
        for mark in _marks(link.url):
            if mark:
                self._group(mark).pages += self._weight
        if link.doubt > 1:
            self._trust.asked += 1
            self._class(_class_of(link.url)).asked += 1
        if self._same:
            self._same.asked(link.url)

    # ---- after a fetch -----------------------------------------------------------------------------------------------

    def land(self, link: Link, sketch: tuple[int, int] | None) -> Landed:
        """Compare a page with earlier ones by its fingerprints, exact and loose; None where it has no links."""
        if sketch is None:
            return UNIQUE
        exact, loose = sketch
        first = self._exact.setdefault(exact, link.url)
        alike = loose in self._loose
        self._loose[loose] = None
        if alike and len(self._often_loose) < KEPT:
            self._often_loose[loose] = None
        for memory in (self._exact, self._loose):
            if len(memory) > self.remembered:
                for mark in list(memory)[: len(memory) // 2]:
                    del memory[mark]
        self.has_doubts = self.has_doubts or alike
        if first != link.url:
            if first and self._same.compare(first, link.url, exact):
                return UNIQUE
            self.has_doubts = True
            if len(self._often) < KEPT:
                self._often[exact] = None
            return REPEATED
        return ALIKE if alike else UNIQUE

    def named(self, link: Link, exact: int | None, landed: Landed, new: list[str], known: list[str]) -> None:
        """Judge a page by the URLs of its host that it named, `new` and `known`. `exact` is its fingerprint, if it has
        one."""
        if self._same:
            if exact is not None:
                self._same.learn(link.url, exact, bool(new))
            new = [url for url in new if not self._same.has_named(url)]
        if link.doubt > 1:
            self._judge_trust(link.url, landed, new)
        ours = _marks(link.url)
        marks = [_marks(url) for url in new] if ours[0] or ours[1] else []
        back = self._count_back(known) if new else 0  # without new URLs it is not used
        for place, mark in enumerate(ours):
            group = self._groups.get(mark) if mark else None
            inside = sum(it[place] == mark for it in marks)
            kind = landed if inside * 2 >= len(new) else UNIQUE
            if group is not None and self._count_page(group, kind, inside, back):
                group.stopped = f"{self._name(link.url, place)}: {group.stopped}"
                group.told = -1
                self._whole.open_window()
                return
        if self._count_page(self._whole, landed, len(new), back):
            self._whole.stopped = f"the whole host: {self._whole.stopped}"

    def _judge_trust(self, url: str, landed: Landed, new: list[str]) -> None:
        """A URL under doubt landed. It was worth it if the page is new, or names URLs of a class that proved worth
        it."""
        mark = _class_of(url)
        worth = landed is not REPEATED
        for other in () if worth else new:
            known = self._classes.get(_class_of(other)) if _class_of(other) != mark else None
            worth = worth or (known is not None and known.worth > 0 and known.is_worth_it)
        self._trust.land(worth, bool(new))
        self._class(mark).land(worth, bool(new))
        self.suspicious = self.suspicious or (self._trust.landed >= 16 and not self._trust.worth)

    def vouch(self, known: Iterable[str], landed: Landed) -> None:
        """A page names these known URLs: from now on they are under no more doubt than this page casts."""
        if landed is REPEATED or not self.has_doubts:
            return
        vouched = self._vouched
        for url in known:
            mark = xxh3_64_intdigest(url.encode())
            vouched[mark] = min(landed, vouched.get(mark, landed))
        if len(vouched) > VOUCHED:
            for mark in list(vouched)[: VOUCHED // 2]:
                del vouched[mark]

    def _count_back(self, known: list[str]) -> int:
        """How many of these URLs are no menu links: named at most FEW times so far."""
        hubs, back = self._hubs, 0
        for url in known:
            times = hubs[url] = hubs.get(url, 0) + 1
            back += times <= FEW
        if len(hubs) > HUBS:
            self._hubs = {url: times for url, times in hubs.items() if times > FEW}
            if len(self._hubs) > HUBS // 2:
                self._hubs = {}
        return back

    def _count_page(self, group: Group, landed: Landed, new: int, back: int) -> bool:
        """Add a page to the window of a group. Returns whether that stops the group."""
        if group.stopped:
            return False
        group.landed += 1
        group.alike += landed is not UNIQUE
        group.generating += new > 0
        group.named += new
        group.back += back
        if landed is REPEATED:
            group.repeats += 1
        if group.landed < max(WINDOW // 4, WINDOW // self._weight):
            return False
        named, seen = group.named, group.landed
        group.judge_window()
        budget = self._rules.pattern_pages
        if group.repeated >= 2 and group.pages * 2 >= budget:
            group.endless = 0
            group.stopped = f"{seen} pages in a row, alike but for numbers and names, named {named} new URLs"
        elif group.endless >= 2 and group.pages * 5 >= budget * 4:
            group.stopped = f"{seen} pages in a row named {named} new URLs, and hardly one that was known"
        self.suspicious = self.suspicious or bool(group.stopped)
        return bool(group.stopped)

    @staticmethod
    def _name(url: str, place: int) -> str:
        path = url[url.index("/", 8) :]
        return (path[: path.index("/", 1) + 1] if place else pattern_of(url))[:SHOWN]

    # ---- memory ------------------------------------------------------------------------------------------------------

    def _group(self, mark: int) -> Group:
        group = self._groups.get(mark)
        if group is None:
            if len(self._groups) >= MOST:
                busiest = sorted(self._groups.items(), key=lambda entry: (entry[1].stopped != "", entry[1].pages))
                self._groups = dict(busiest[-(MOST // 2) :])
            group = self._groups[mark] = Group()
        return group

    def due(self, host: str, url: str) -> Iterator[Budget]:
        """The budgets that the frontier must store now that a page of this URL came."""
        whole = self._whole
        if whole.pages - whole.told >= TOLD * self._weight or (whole.stopped and whole.told < whole.pages):
            yield from self._told_of_all(host)
        for mark in _marks(url):
            group = self._groups.get(mark)
            if group is not None and (group.pages - group.told >= TOLD * self._weight or group.told < 0):
                yield _told(host, mark, group)

    def unflushed(self, host: str) -> Iterator[Budget]:
        """The budgets that the frontier must store before this is forgotten."""
        if self._whole.pages > self._whole.told:
            yield from self._told_of_all(host)
        for mark, group in self._groups.items():
            if group.pages > group.told:
                yield _told(host, mark, group)

    def _told_of_all(self, host: str) -> Iterator[Budget]:
        yield _told(host, WHOLE, self._whole)
        trust = self._trust
        if trust.asked or self._often or self._often_loose:
            counts = (trust.refused, trust.landed, trust.worth, trust.naming)
            prints = packed(self._often), packed(self._often_loose)
            yield Budget(host, DOUBT, trust.asked, texts=prints[0], words=prints[1], evidence=counts)
        for mark, rule in self._same.rules():
            yield Budget(
                host, mark, rule.pages, texts=packed(rule.contents), rule=rule.part, evidence=(rule.tests, rule.skipped)
            )

    def recall(self, budgets: tuple[Budget, ...]) -> None:
        """Restore the budgets that an earlier run stored."""
        for it in budgets:
            if it.rule:
                keys = dict.fromkeys(unpacked(it.texts), 0)
                kind, where, name = it.rule
                tests, skipped = it.evidence
                rule = Hypothesis((kind, where, name), keys, tests=tests, is_rule=True, skipped=skipped)
                self._same.recall(rule)
            elif it.pattern == DOUBT:
                self._trust = Trust(it.pages, *it.evidence)
                self._often, self._often_loose = (dict.fromkeys(unpacked(prints)) for prints in (it.texts, it.words))
                self._exact = dict.fromkeys(self._often, "") | self._exact
                self._loose = self._often_loose | self._loose
            else:
                group = Group(it.pages, it.pages, it.stopped, *it.evidence)
                if it.pattern == WHOLE:
                    self._whole = group
                else:
                    self._groups[it.pattern] = group

    @property
    def doubt(self) -> int:
        """The doubt about URLs of which it is not known which pages named them."""
        return 2 if self._trust.landed >= TRIALS and self._trust.is_lost(0) else int(self.has_stopped)

    @property
    def has_stopped(self) -> bool:
        """Whether anything of this host was stopped."""
        return bool(self._whole.stopped) or any(group.stopped for group in self._groups.values())


def packed(marks: Iterable[int]) -> bytes:
    """Marks as a `Budget` carries them: 8 bytes each, big-endian."""
    return b"".join(mark.to_bytes(8) for mark in marks)


def unpacked(marks: bytes) -> list[int]:
    """The marks in such bytes."""
    return [int.from_bytes(marks[place : place + 8]) for place in range(0, len(marks) - 7, 8)]


def _told(host: str, mark: int, group: Group) -> Budget:
    group.told = group.pages
    window = group.landed, group.alike, group.generating, group.named, group.back, group.repeats
    return Budget(host, mark, group.pages, stopped=group.stopped, evidence=(*window, group.repeated, group.endless))


@lru_cache(maxsize=4096)
def _marks(url: str) -> tuple[int, int]:
    """The marks of the groups of a URL below its host, 0 where it has none: its pattern, its first directory."""
    pattern, slash = pattern_of(url), url.index("/", 8)
    end = url.partition("?")[0].find("/", slash + 1)
    by_pattern = xxh3_64_intdigest(pattern.encode()) >> 1 if pattern else 0
    return by_pattern, xxh3_64_intdigest(url[slash : end + 1].encode(), 1) >> 1 if end > 0 else 0


@lru_cache(maxsize=4096)
def _class_of(url: str) -> int:
    """The mark of the class of a URL under doubt: its path without numbers and ids, 0 for all that consist of words."""
    path, _, query = url.partition("?")
    pattern = pattern_of(path) or (path if query else "")
    return xxh3_64_intdigest(pattern.encode(), 2) >> 1 if pattern else 0
