"""What changed between two generations of a crawl directory, read from what both have stored.

Rules:
- Both are read in the order of their URLs, side by side. crawler/core/changes decides what a difference means.
- Only pages whose digests differ, or whose headers say something else, are parsed. One whose text, title, status,
  canonical URL, noindex and links are the same counts as unchanged (`same_content`): its markup changed, or a clock in
  its footer.
- An error page is never compared. Where the older generation has no certain answer for a URL, the ones before it are
  asked, until one knows it.
- Memory: the lists of the result, and nothing that grows with what is unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Self

import msgspec

from crawler.core.changes.page_facts import PageFacts, differences, page_facts, text_diff
from crawler.core.changes.states import (
    NOT_REACHED,
    UNLINKED,
    UrlChange,
    UrlState,
    change_of,
    saw_every_link,
    state_of,
    why_gone,
)
from crawler.core.page.links import page_headers
from crawler.errors import StorageError, UsageError
from crawler.storage.directory import CrawlDirectory, come_to
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.generations import chosen, folder_of, generations, qualified
from crawler.storage.stored_crawl import StoredCrawl

Pair = tuple[str, SettledRow | None, SettledRow | None]


class GonePage(msgspec.Struct, frozen=True):
    """A page that is gone, and why: "404", "410", "robots", or "unlinked"."""

    url: str
    why: str


class ChangedPage(msgspec.Struct, frozen=True):
    """A page that changed, and what of it: names of `page_facts.WHAT`."""

    url: str
    what: tuple[str, ...]


class MovedPage(msgspec.Struct, frozen=True):
    """A page that redirects now, and where to."""

    url: str
    to: str


class UncertainPage(msgspec.Struct, frozen=True):
    """A URL of which the later generation has no certain answer, and why: a reason, or "not reached"."""

    url: str
    why: str


class Unchanged(msgspec.Struct):
    """Pages that did not change: confirmed by a 304, sent again with the same body, or with another body in which
    nothing that counts differs. Not those that were not asked for."""

    not_modified: int = 0
    same_digest: int = 0
    same_content: int = 0

    @property
    def pages(self) -> int:
        """All of them."""
        return self.not_modified + self.same_digest + self.same_content


class GenerationDiff(msgspec.Struct, kw_only=True):
    """What changed from generation `older` to `newer`, in the order of URLs. `urls` were asked for in the newer one,
    whose 304s saved `bytes_saved` of bodies; `not_asked` are known pages that `revisit` left out: they are carried over
    as they were. `complete`: it read all links (those of pages that were not asked for are the stored ones), so that
    what it did not meet is gone."""

    older: int = msgspec.field(name="from")
    newer: int = msgspec.field(name="to")
    new: list[str] = msgspec.field(default_factory=list)
    gone: list[GonePage] = msgspec.field(default_factory=list)
    changed: list[ChangedPage] = msgspec.field(default_factory=list)
    moved: list[MovedPage] = msgspec.field(default_factory=list)
    unchanged: Unchanged = msgspec.field(default_factory=Unchanged)
    uncertain: list[UncertainPage] = msgspec.field(default_factory=list)
    not_asked: int = 0
    urls: int = 0
    bytes_saved: int = 0
    complete: bool = False
    seeds: tuple[str, ...] = ()
    ended_at: tuple[float, float] = (0.0, 0.0)


class _Base(NamedTuple):
    """The last version of a URL that is certain: its row, and the generation that has it."""

    row: SettledRow
    crawl: StoredCrawl
    number: int


def diff(
    root: Path, older: int | None = None, newer: int | None = None, patience: float = float("inf")
) -> GenerationDiff:
    """The changes between two generations: by default between the last two, or to the last one. Raises UsageError where
    there are no two, StorageError, also where it takes longer than `patience` seconds."""
    give_up_at = monotonic() + patience
    older, newer = pair(root, older, newer)
    with _Comparison(root, older, newer) as comparison:
        for _ in comparison.steps():
            if monotonic() > give_up_at:
                raise StorageError(
                    f"the generations are too large to be compared in {patience:g} s; use the command diff"
                )
        return comparison.found


def diff_of_text(root: Path, url: str, older: int | None = None, newer: int | None = None) -> Iterator[str]:
    """The unified diff of the main text of one page. Raises UsageError where one of the generations has no page of this
    URL, StorageError."""
    numbers = pair(root, older, newer)
    facts = []
    for number in numbers:
        with StoredCrawl(CrawlDirectory.open_readonly(folder_of(root, number))) as crawl:
            row = crawl.find(url)
            if row is None or not row.part:
                raise UsageError(f"generation {number} of {root} has no page of {url}")
            facts.append(_facts(crawl, row))
    names = (f"generation {numbers[0]}", f"generation {numbers[1]}")
    return text_diff(facts[0].main_text, facts[1].main_text, names)


def pair(root: Path, older: int | None, newer: int | None) -> tuple[int, int]:
    """The two generations to compare. Raises UsageError."""
    there = generations(root)
    CrawlDirectory.open_readonly(chosen(root, newer))
    newer = there[-1] if newer is None else newer
    if older is None:
        before = [number for number in there if number < newer]
        if not before:
            raise UsageError(f"{root} has no generation before {newer}; make the next one with: recrawl {root}")
        older = before[-1]
    chosen(root, older)
    if older >= newer:
        raise UsageError(f"--from {older} must be a generation before --to {newer}")
    return older, newer


class _Comparison:
    """Compares two generations; opens those before them as they are needed."""

    def __init__(self, root: Path, older: int, newer: int) -> None:
        self._root = root
        self._files = ExitStack()
        self._open: dict[int, StoredCrawl] = {}
        self._before = [number for number in reversed(generations(root)) if number < older]
        self._older, self._newer = self._crawl(older), self._crawl(newer)
        self.found = GenerationDiff(older=older, newer=newer)
        self._older_whole, _ = self._whole(older)
        self.found.complete, directory = self._whole(newer)
        tally = directory.tally()
        self.found.urls, self.found.bytes_saved = tally.urls, tally.bytes_saved
        self.found.seeds = directory.settings.seeds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def steps(self) -> Iterator[None]:
        """Read both generations, a URL a step. `found` has the result at the end."""
        last = [0.0, 0.0]
        for url, before, after in _side_by_side(self._older.urls(by_url=True), self._newer.urls(by_url=True)):
            last = [max(at, row.settled_at) if row else at for at, row in zip(last, (before, after), strict=True)]
            self._take(url, before, after)
            yield
        self.found.ended_at = (last[0], last[1])

    def _crawl(self, number: int) -> StoredCrawl:
        if number not in self._open:
            directory = CrawlDirectory.open_readonly(folder_of(self._root, number))
            self._open[number] = self._files.enter_context(StoredCrawl(directory))
        return self._open[number]

    def _whole(self, number: int) -> tuple[bool, CrawlDirectory]:
        """Whether a generation has read all links, and its directory."""
        directory = CrawlDirectory.open_readonly(folder_of(self._root, number))
        reached = come_to(directory.manifest, directory.tally())
        return reached is not None and saw_every_link(*reached), directory

    def _take(self, url: str, before: SettledRow | None, after: SettledRow | None) -> None:
        self.found.not_asked += after is not None and after.carried
        base = self._base(url, before)
        was = _state(base.row) if base else _state(before) if before else None
        now = _state(after) if after else None
        retargeted = bool(
            base and after and was is UrlState.MOVED and base.row.redirect_target != after.redirect_target
        )
        change = change_of(was, now, whole=self.found.complete, retargeted=retargeted)
        found = self.found
        match change:
            case UrlChange.NEW:
                found.new.append(url)
            case UrlChange.GONE:
                found.gone.append(GonePage(url, why_gone(after.reason, after.status) if after else UNLINKED))
            case UrlChange.MOVED if after:
                found.moved.append(MovedPage(url, after.redirect_target))
            case UrlChange.RETURNED:
                found.changed.append(ChangedPage(url, ("status",)))
            case UrlChange.UNCERTAIN:
                found.uncertain.append(UncertainPage(url, after.reason.value if after else NOT_REACHED))
            case UrlChange.COMPARED if base and after:
                self._compare(base, after)

    def _base(self, url: str, before: SettledRow | None) -> _Base | None:
        """The version of a URL to compare with. Where the older generation has no certain answer, an earlier one."""
        if before is not None and _state(before) is not UrlState.UNKNOWN:
            return _Base(before, self._older, self.found.older)
        if before is None and self._older_whole:
            return None
        for number in self._before:
            crawl = self._crawl(number)
            row = crawl.find(url)
            if row is not None and _state(row) is not UrlState.UNKNOWN:
                return _Base(row, crawl, number)
        return None

    def _compare(self, base: _Base, after: SettledRow) -> None:
        unchanged = self.found.unchanged
        same = base.row.digest == after.digest
        if same and after.carried:
            return
        if same and self._has_same_headers(base, after):
            unchanged.not_modified += after.not_modified
            unchanged.same_digest += not after.not_modified
        elif what := differences(_facts(base.crawl, base.row), _facts(self._newer, after)):
            self.found.changed.append(ChangedPage(after.url, what))
        else:
            unchanged.same_content += 1

    def _has_same_headers(self, base: _Base, after: SettledRow) -> bool:
        """Whether the headers agree that may tell of noindex or a canonical URL. Mostly both rows name one record."""
        if not (base.row.part and after.part):
            return base.row.part == after.part
        record = qualified(base.number, base.row.part), base.row.position
        if record == (qualified(self.found.newer, after.part), after.position):
            return True
        older, newer = base.crawl.read(base.row), self._newer.read(after)
        return page_headers(older.headers) == page_headers(newer.headers)


def _state(row: SettledRow) -> UrlState:
    return state_of(row.reason, row.status, row.redirect_target)


def _facts(crawl: StoredCrawl, row: SettledRow) -> PageFacts:
    """The facts of a page. A body that `obey_noindex` kept from being stored has no others than that."""
    if not row.part:
        return PageFacts(row.status, noindex=True)
    page = crawl.read(row)
    return page_facts(page.status, page.body, page.url, page_headers(page.headers), page.noindex)


def _side_by_side(older: Iterator[SettledRow], newer: Iterator[SettledRow]) -> Iterator[Pair]:
    """The rows of both, which are in the order of their URLs, by URL."""
    before, after = next(older, None), next(newer, None)
    while before is not None or after is not None:
        if after is None or (before is not None and before.url < after.url):
            assert before is not None
            yield before.url, before, None
            before = next(older, None)
        elif before is None or after.url < before.url:
            yield after.url, None, after
            after = next(newer, None)
        else:
            yield after.url, before, after
            before, after = next(older, None), next(newer, None)
