"""Trap detection for endless sites: what a host may still be asked for, judged by what it was asked for and what came.

Theory of operation. An endless site differs from a large one in two ways that are measured here: its pages bring little
that is new, and these very pages keep naming new URLs, while the URLs of a finite site are all known at some time. So
likeness alone stops nothing (a gallery), nor does size (a shop). Where a URL is about to be asked for the first time
the `TrapDetector` of its host may refuse it, and it settles at once, with the reason. There are four brakes:

1. *Same pages* (`same_pages`): a part of its URLs makes no difference, learnt from samples; see
   crawler/core/traps/sameness.py.
2. *Doubt* (`repeated_pages`): a page whose exact fingerprint was seen before casts doubt on the URLs that only such
   pages name. They are asked for last, and few of them where they bring nothing new; see crawler/core/traps/doubts.py.
   A page that repeats one whose URL differs in a part with few values (a version) casts no doubt.
3. *Repeated* (`repeated_pages`): windows of pages of a group are alike but for what a server makes up (digits, the
   words of the URL), while nearly each page names new URLs of the group; see crawler/core/traps/groups.py. Then URLs
   under doubt are refused.
4. *Endless* (`endless`): windows of pages may all differ, but nearly each names several new URLs of the group, and
   hardly any link leads back to a known page (generated text).

Rules:
- A group is the pattern of a URL, its first directory, or the whole host. A larger group is judged only where no
  smaller one of the URL has been stopped since its window began. A page that names mostly URLs outside of its group is
  no repetition there, whatever its text: it may be one of many lists.
- `pattern_pages` is what a group is allowed before brakes 3 and 4 may stop it. Only pages with links count: others lead
  nowhere.
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

from crawler.core.messages import Budget, Link
from crawler.core.reasons import Reason
from crawler.core.rules import Rules
from crawler.core.traps.doubts import MOST, TRIALS, Doubts, Trust
from crawler.core.traps.groups import ALIKE, REPEATED, UNIQUE, Group, Landed, group_name, marks_of
from crawler.core.traps.sameness import Hypothesis, Sameness
from crawler.core.urls.patterns import Rejection, check_shape

TOLD = 16
WHOLE = 0
"""Stands for the host itself among the marks of its groups."""
DOUBT = 1
"""Stands for the URLs under doubt."""
HUBS = 300
LIFTED = 10**7
"""`pattern_pages` beyond which nothing is judged."""
FEW = 3
KEPT = 64
REMEMBERED = 4096


class TrapDetector:
    """What one host was asked for, and what came back. `has_doubts`: one of its URLs was queued under doubt."""

    __slots__ = (
        "_doubts",
        "_exact",
        "_groups",
        "_hubs",
        "_loose",
        "_often",
        "_often_loose",
        "_rules",
        "_same",
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
        self._doubts = Doubts()
        self._same = Sameness()
        self._exact: dict[int, str] = {}
        self._loose: dict[int, None] = {}
        self._often: dict[int, None] = {}
        self._often_loose: dict[int, None] = {}
        self._hubs: dict[str, int] = {}
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
        doubt = link.doubt and self._doubts.left(link.url, link.doubt)
        for group in self._stopped(link.url):
            if group.endless or doubt:
                return (Reason.ENDLESS if group.endless else Reason.REPEATED_PAGES), group.stopped
        if self._rules.merge_same_pages and self._same and (why := self._same.skips(link.url)):
            return Reason.SAME_PAGES, why
        if doubt > 1 and self._rules.pattern_pages <= LIFTED:
            why = self._doubts.refuses(link.url, max(16, TRIALS // self._weight))
            return (Reason.REPEATED_PAGES, why) if why else None
        return None

    @property
    def _is_spent(self) -> bool:
        return self._whole.pages >= self._rules.max_host_pages

    def _stopped(self, url: str) -> list[Group]:
        found = [self._groups.get(mark) for mark in marks_of(url)]
        return [group for group in (*found, self._whole) if group is not None and group.stopped]

    def count(self, link: Link) -> None:
        """Count a URL that is asked for the first time."""
        self._whole.pages += self._weight
        for mark in marks_of(link.url):
            if mark:
                self._group(mark).pages += self._weight
        if link.doubt > 1:
            self._doubts.ask(link.url)
        if self._same:
            self._same.asked(link.url)

    # ---- after a fetch -----------------------------------------------------------------------------------------------

    def land(self, link: Link, fingerprint: tuple[int, int] | None) -> Landed:
        """Compare a page with earlier ones by its fingerprints, exact and loose; None where it has no links."""
        if fingerprint is None:
            return UNIQUE
        exact, loose = fingerprint
        first = self._exact.setdefault(exact, link.url)
        alike = loose in self._loose
        self._loose[loose] = None
        if alike and len(self._often_loose) < KEPT:
            self._often_loose[loose] = None
        for memory in (self._exact, self._loose):
            if len(memory) > self.remembered:
                for mark in list(memory)[: len(memory) // 2]:
                    del memory[mark]
        if first != link.url:
            if first and self._same.compare(first, link.url, exact):
                return UNIQUE
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
            self._doubts.land(link.url, landed is REPEATED, new)
            trust = self._doubts.trust
            self.suspicious = self.suspicious or (trust.landed >= 16 and not trust.worth)
        ours, budget = marks_of(link.url), self._rules.pattern_pages
        marks = [marks_of(url) for url in new] if ours[0] or ours[1] else []
        back = self._count_back(known) if new else 0  # without new URLs it is not used
        for place, mark in enumerate(ours):
            group = self._groups.get(mark) if mark else None
            inside = sum(it[place] == mark for it in marks)
            kind = landed if inside * 2 >= len(new) else UNIQUE
            if group is not None and group.add(kind, inside, back, self._weight, budget):
                group.stopped = f"{group_name(link.url, place)}: {group.stopped}"
                group.told = -1
                self.suspicious = True
                self._whole.open_window()
                return
        if self._whole.add(landed, len(new), back, self._weight, budget):
            self._whole.stopped = f"the whole host: {self._whole.stopped}"
            self.suspicious = True

    def vouch(self, known: Iterable[str], landed: Landed) -> None:
        """A page names these known URLs: from now on they are under no more doubt than this page casts."""
        if landed is not REPEATED and self.has_doubts:
            self._doubts.vouch(known, landed)

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
        for mark in marks_of(url):
            group = self._groups.get(mark)
            if group is not None and (group.pages - group.told >= TOLD * self._weight or group.told < 0):
                yield group.store(host, mark)

    def unflushed(self, host: str) -> Iterator[Budget]:
        """The budgets that the frontier must store before this is forgotten."""
        if self._whole.pages > self._whole.told:
            yield from self._told_of_all(host)
        for mark, group in self._groups.items():
            if group.pages > group.told:
                yield group.store(host, mark)

    def _told_of_all(self, host: str) -> Iterator[Budget]:
        yield self._whole.store(host, WHOLE)
        trust = self._doubts.trust
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
                self._doubts.trust = Trust(it.pages, *it.evidence)
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
        trust = self._doubts.trust
        return 2 if trust.landed >= TRIALS and trust.is_lost(0) else int(self.has_stopped)

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
