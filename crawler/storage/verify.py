"""Reads a whole crawl back and checks that its files are intact and agree with each other.

Checked: each file by itself (crawler/storage/integrity.py); that each record which a settled row names exists, and no
two rows name the same; that every body still has the digest in its record and in its row, and that row and record
agree; that the tally equals the sum of the rows; that the digest of the crawl, recomputed from the bodies on disk, is
the stored one.

Rules:
- Rows are read before records: a page is on disk before its row, so a running crawl shows no false problems.
- A record that no row names does not exist. It is counted but no problem: a kill or the current run left it.
- A generation is checked with the bodies that it has in the parts of earlier ones.
- Memory: about 200 bytes for each page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

import msgspec

from crawler.core.endings import answered
from crawler.core.page import digest
from crawler.core.reasons import Ending
from crawler.core.settling import read_back
from crawler.errors import Corrupt, StorageError
from crawler.metrics.counters import Tally
from crawler.metrics.summary import state
from crawler.storage.crawl_files import repair_hint
from crawler.storage.directory import CrawlDirectory, come_to
from crawler.storage.frontier.base import FrontierReader
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.generations import is_elsewhere, number_of, root_of
from crawler.storage.integrity import frontier_faults, part_faults
from crawler.storage.pages.base import Page, Store

MOST_TOLD = 20
Named = dict[str, dict[int, tuple[bytes, str, int, str]]]
COUNTED = (
    *("queued", "settled", "urls", "pages", "bytes", "truncated", "unread", "too_deep", "seeds_answered"),
    *("statuses", "reasons", "digest", "not_modified", "bytes_saved", "carried_over"),
)
See = Callable[[Page], None]


class Audit(msgspec.Struct, kw_only=True):
    """The result. `pages`, `bytes` and `digest` are computed from the bodies on disk. `wrong` counts problems,
    `problems` has the first MOST_TOLD, one line each; `running` is the process that works on the crawl. `ending` is the
    conclusion of the crawl, by the rows (None while that is open), `state` the same in words."""

    out: str
    urls: int = 0
    pages: int = 0
    bytes: int = 0
    digest: str = ""
    orphans: int = 0
    running: int | None = None
    wrong: int = 0
    problems: list[str] = msgspec.field(default_factory=list)
    complete: bool = False
    ending: str | None = None
    incomplete_because: dict[str, int] = {}
    state: str = ""
    generation: int = 0

    def add_problem(self, problem: str) -> None:
        """Count a problem."""
        self.wrong += 1
        if len(self.problems) < MOST_TOLD:
            self.problems.append(problem)


def audit(directory: CrawlDirectory, see: See = lambda page: None) -> Audit:
    """Read a crawl back; calls `see` with each page that a settled row names.

    Raises UsageError where it has not begun, Corrupt where its frontier cannot be read at all. Every other fault is
    added to `problems`.
    """
    out, number = root_of(directory.path), number_of(directory.path)
    found = Audit(out=str(out), generation=number, running=None if directory.ours else directory.lock_owner())
    try:
        paths = directory.frontier_files()
        for path in paths:
            for fault in frontier_faults(path, directory.manifest.seed, directory.moving):
                found.add_problem(fault)
        for fault in directory.postgres.faults() if directory.postgres else ():
            found.add_problem(fault)
    except Corrupt as error:
        found.add_problem(str(error))
    for path in directory.part_files():
        for fault in part_faults(path):
            found.add_problem(fault)
    try:
        with closing(directory.open_frontiers(lenient=True)) as frontier:
            _read_back(directory, frontier, found, see)
    except StorageError as error:
        first = found.problems[0] if found.problems else str(error)
        raise Corrupt(first if "repair" in first else f"{first}; {repair_hint(directory.path)}") from error
    return found


def _read_back(directory: CrawlDirectory, frontier: FrontierReader, found: Audit, see: See) -> None:
    kept = frontier.tally()
    owed = sum(1 for _ in frontier.owed())
    counted, named, sum_of_rows = _read_rows(frontier, found)
    sum_of_bodies = _read_records(directory.store(), named, found, see)
    _tell_missing(frontier, named, found)
    counted.bytes = found.bytes
    counted.digest = found.digest = digest.in_hex(digest.add(sum_of_rows, [sum_of_bodies.to_bytes(16, "big")]))
    counted.queued = counted.settled + owed
    counted.too_deep = sum(1 for _ in frontier.beyond())
    if found.running is None and frontier.tally() == kept:
        _compare(kept, counted, found)
    reached = come_to(directory.manifest, counted) if found.running is None else None
    found.incomplete_because = counted.conclude().because
    found.ending = reached.ending if reached else None
    found.complete = found.ending == Ending.COMPLETE
    found.state = state(reached, found.running)


def _read_rows(frontier: FrontierReader, found: Audit) -> tuple[Tally, Named, int]:
    """The tally recomputed from the rows, the records that they name, the digest of the rows without a record."""
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    counted, named, total = Tally(), Named(), 0
    for row in frontier.settled():
        counted.settled += 1
        counted.urls += row.attempts > 0
        counted.truncated += bool(row.truncated)
        unread, cut = read_back(row.status, row.detail)
        counted.unread += unread is not None
        counted.links_cut += cut
        counted.seeds_answered += row.depth == 0 and answered(row.status)
        reasons[row.reason.value] += 1
        if row.status:
            statuses[str(row.status)] += 1
        if row.part:
            counted.pages += 1
            counted.not_modified += row.not_modified
            counted.bytes_saved += row.size * row.not_modified
            counted.carried_over += row.carried
            positions = named.setdefault(row.part, {})
            if row.position in positions:
                found.add_problem(f"{row.url}: its record {row.part}:{row.position} also belongs to another URL")
            positions[row.position] = row.digest, row.url, row.size, row.content_type
        elif row.status:
            total = digest.add(total, [_term_without_body(row, found)])
    counted.statuses, counted.reasons = dict(statuses), dict(reasons)
    found.urls = counted.urls
    return counted, named, total


def _term_without_body(row: SettledRow, found: Audit) -> bytes:
    term = digest.term(row.url, row.status)
    if row.digest and row.digest != term:
        found.add_problem(f"{row.url}: its digest does not match a response without a stored body")
    return term


def _read_records(store: Store, named: Named, found: Audit, see: See) -> int:
    """The sum of the digests of all bodies. Removes the records that exist from `named`."""
    total = 0
    for part, position, page in _records(store, named):
        positions = named.get(part, {})
        if page is None or position not in positions:
            found.orphans += position not in positions
            continue
        expected, *facts = positions.pop(position)
        see(page)
        term = term_of(page)
        total = digest.add(total, [term])
        found.pages += 1
        found.bytes += len(page.body)
        if not term == page.digest == expected:
            found.add_problem(f"{page.url}: record {part}:{position} does not match its digest")
        elif facts != [page.url, len(page.body), page.content_type]:
            found.add_problem(f"{page.url}: record {part}:{position} differs from its row")
    return total


def _records(store: Store, named: Named) -> Iterator[tuple[str, int, Page | None]]:
    """All records of this generation, then those of others that its rows name; None for each that is damaged."""
    for part in store.parts():
        for position, page in store.records(part):
            yield part, position, page
    for part in sorted(filter(is_elsewhere, named)):
        for position in sorted(named[part]):
            try:
                yield part, position, store.read(part, position)
            except (StorageError, KeyError):
                yield part, position, None


def term_of(page: Page) -> bytes:
    """What a page adds to the digest of the crawl; b"" where its URL is not valid Unicode, which is damage."""
    try:
        return digest.term(page.url, page.status, page.body)
    except UnicodeEncodeError:
        return b""


def _tell_missing(frontier: FrontierReader, named: Named, found: Audit) -> None:
    """Report the rows whose records are missing: those left in `named`. Reads all rows again for their URLs."""
    if any(named.values()):
        for row in frontier.settled():
            if row.part and row.position in named[row.part]:
                found.add_problem(f"{row.url}: record {row.part}:{row.position} is missing or cannot be read")


def _compare(kept: Tally, counted: Tally, found: Audit) -> None:
    """Report every stored count that differs from the recomputed one. Only those in COUNTED can be recomputed."""
    for key in COUNTED:
        said, is_now = getattr(kept, key), getattr(counted, key)
        if said != is_now:
            found.add_problem(f"{key}: the tally says {said}, the rows and pages say {is_now}")
