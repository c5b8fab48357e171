"""What the generations of a crawl directory know of each page: DIR/known.sqlite.

A row has the validators of the last good version of a page, where that is stored, and how it was met. The next
generation asks with it, so that a page which did not change is neither sent nor stored again.

Rules:
- It is derived: `learn` reads the rows of one generation, in one transaction with the number of that generation. A lost
  or damaged file is made again from the generations there are. Nobody writes to it while pages are fetched.
- Trouble never overwrites a good version: the row stays as it was. 404, 410 and a redirect remove it; another refusal
  forgets its validators, so that the page is asked for without them (as StormCrawler does).
- A page that nothing links to is asked for once more, in the generation that notices it (`unlinked`), and is forgotten
  after that. A generation that missed something does not count: what it did not read may link to the page.
- `checks` counts the 304s since the body came last.
- What was read of a page is kept (crawler/storage/readings.py), so that no 304 parses it again.
- When pages were found changed, and which of them a generation carries over: crawler/storage/revisits.py.
- Every row has a checksum of what names its record. One that does not match counts as unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Self

from crawler.core.changes.states import GONE_STATUSES, UrlState, saw_every_link, state_of
from crawler.core.reasons import Ending, Reason
from crawler.core.revisit.due import RevisitBounds
from crawler.core.revisit.validators import Validators, stands_for_page, validators_of
from crawler.core.urls.canonical import host_of
from crawler.errors import Corrupt
from crawler.settings import Settings
from crawler.storage import lastmods, revisits
from crawler.storage.database import (
    columns_there,
    connect,
    connect_to_read,
    row_checksum,
    storage_errors,
    transaction,
)
from crawler.storage.directory import CrawlDirectory, come_to
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.generations import KNOWN, folder_of, generations, is_elsewhere, qualified, root_of
from crawler.storage.pages.base import Store
from crawler.storage.readings import readings, remove_readings

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS page (
    url TEXT PRIMARY KEY,
    etag TEXT NOT NULL,
    last_modified TEXT NOT NULL,
    part TEXT NOT NULL,
    position INTEGER NOT NULL,
    body TEXT NOT NULL,
    size INTEGER NOT NULL,
    digest BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    checks INTEGER NOT NULL DEFAULT 0,
    unlinked INTEGER NOT NULL DEFAULT 0,
    {revisits.COLUMNS}
    {lastmods.COLUMNS}
    reading BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS learnt (generation INTEGER PRIMARY KEY);
CREATE TEMP TABLE met (url TEXT PRIMARY KEY) WITHOUT ROWID;
{revisits.SCHEMA}
{lastmods.SCHEMA}"""
VERSION = ("etag", "last_modified", "part", "position", "body", "size", "digest", "checksum")
VALIDATORS = "SELECT etag, last_modified FROM page WHERE url = ?"
FIND = f"SELECT {', '.join(VERSION)}, checks, reading FROM page WHERE url = ?"
STILL = "unlinked = CASE WHEN unlinked = ?1 THEN unlinked ELSE 0 END, checks = CASE WHEN ?2 THEN checks + 1 ELSE 0 END"
"""What a page that was met keeps: that it was asked for although nothing linked to it, and its 304s in a row."""
CONFIRM = f"UPDATE page SET depth = ?3, {STILL} WHERE url = ?4 AND part = ?5 AND position = ?6"
KEEP = f"""INSERT INTO page (checks, depth, url, {", ".join(VERSION)})
    VALUES (?2, ?3, ?4, {", ".join(f"?{place}" for place in range(5, 5 + len(VERSION)))})
    ON CONFLICT (url) DO UPDATE SET depth = ?3, {", ".join(f"{name} = excluded.{name}" for name in VERSION)}, {STILL},
    reading = NULL"""
CARRY = """UPDATE page SET depth = ?2, unlinked = CASE WHEN unlinked = ?1 THEN unlinked ELSE 0 END
    WHERE url = ?3 AND part = ?4 AND position = ?5"""
REMEMBER = "UPDATE page SET reading = ?3 WHERE url = ?1 AND digest = ?2"
FORGET_VALIDATORS = "UPDATE page SET checks = 1 << 30 WHERE url = ?"
"""So that the next fetch is unconditional, whatever `revalidate_every` says; a page that comes resets it."""
FORGET = "DELETE FROM page WHERE url = ?"
DROP_UNMET = "DELETE FROM page WHERE unlinked > 0 AND url NOT IN (SELECT url FROM met)"
UNMET = "SELECT url FROM page WHERE unlinked = 0 AND url NOT IN (SELECT url FROM met)"
GIVEN_UP = frozenset({Reason.HOST_DOWN, Reason.ROBOTS_UNAVAILABLE, Reason.HELD, Reason.DNS, Reason.CONNECT, Reason.TLS})
"""The reasons of URLs whose host could not be asked: what is unlinked there waits for the next generation."""


class KnownPage(NamedTuple):
    """The last good version of a page: its validators; the record that has its headers (`part`, `position`), and the
    one that has its body (`body`, "N/PART:POSITION"); bytes of that body; its digest; the 304s since it came; what
    was read of it (crawler/pipeline/readings.py), empty where it must be parsed."""

    validators: Validators
    part: str
    position: int
    body: str
    size: int
    digest: bytes
    checks: int
    reading: bytes = b""


class KnownReader:
    """Finds what is known of a URL; for one thread at a time. Raises StorageError."""

    def __init__(self, root: Path) -> None:
        self._path = root / KNOWN
        self._connection = connect_to_read(self._path)

    def find(self, url: str) -> KnownPage | None:
        """The last good version of a page; None where none is known."""
        with storage_errors(self._path):
            row = self._connection.execute(FIND, (url,)).fetchone()
        if row is None:
            return None
        *version, checksum, checks, reading = row
        if checksum != row_checksum(url, *version):
            return None
        etag, last_modified, part, position, body, size, digest = version
        validators = Validators(etag, last_modified)
        return KnownPage(validators, part, position, body, size, digest, checks, reading or b"")

    def to_ask(self, number: int) -> dict[int, list[str]]:
        """The URLs, by depth, that generation `number` asks for although nothing links to them."""
        query = "SELECT url, max(1, depth) FROM page WHERE unlinked = ? ORDER BY depth, url"
        found: dict[int, list[str]] = {}
        with storage_errors(self._path):
            for url, depth in self._connection.execute(query, (number,)):
                found.setdefault(depth, []).append(url)
        return found

    def carried(self, number: int) -> list[str]:
        """The URLs of the pages that generation `number` carries over."""
        with storage_errors(self._path):
            if not columns_there(self._connection, "chosen"):  # a file of an older version
                return []
            return [url for (url,) in self._connection.execute(revisits.CARRIED, (number,))]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class KnownPages:
    """Writes the file of a crawl directory, whose lock must be held. A database and an object store are reached by the
    settings `access`, by those of each generation for None. Raises StorageError."""

    def __init__(self, root: Path, access: Settings | None = None) -> None:
        self._root = root
        self._path = root / KNOWN
        self._access = access
        self._connection = connect(self._path, SCHEMA)
        if "told_at" not in columns_there(self._connection, "page"):
            self._connection.close()
            raise Corrupt(f"{self._path} is of an older version")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def catch_up(self, before: int | None = None) -> None:
        """Learn what the generations tell that were not read yet, all that there are; those `before` one only."""
        with storage_errors(self._path):
            last = self._connection.execute("SELECT coalesce(max(generation), -1) FROM learnt").fetchone()[0]
        for number in generations(self._root):
            if number > last and (before is None or number < before):
                self.learn(number)

    def choose(self, number: int, at: float, settings: Settings) -> None:
        """Choose what generation `number` asks for at the Unix time `at`, where that is not done."""
        bounds = RevisitBounds(longest=max(settings.revisit_longest, RevisitBounds().shortest))
        with transaction(self._connection, self._path) as connection:
            revisits.choose(connection, number, at, settings.revisit_budget, bounds)

    def learn(self, number: int) -> None:
        """Learn what one generation tells, in one transaction."""
        directory = CrawlDirectory.open_readonly(folder_of(self._root, number))
        if self._access is not None:
            directory.use_access(self._access)
        reached = come_to(directory.manifest, directory.tally())
        store = directory.store()
        with (
            closing(store),
            closing(directory.open_frontiers()) as frontier,
            transaction(self._connection, self._path) as connection,
        ):
            connection.execute("DELETE FROM met")
            sitemaps: list[SettledRow] = []
            for row in frontier.settled():
                connection.execute("INSERT OR IGNORE INTO met VALUES (?)", (row.url,))
                self._take(number, row, store)
                if lastmods.may_be_sitemap(row) and len(sitemaps) < lastmods.MOST:
                    sitemaps.append(row)
            lastmods.learn(connection, sitemaps, store, directory.settings)
            if reached is not None and saw_every_link(*reached):
                connection.execute(DROP_UNMET)
            else:
                connection.execute("UPDATE page SET unlinked = 0 WHERE unlinked = ?", (number,))
            connection.executemany(REMEMBER, readings(directory.path))
            connection.execute("INSERT OR REPLACE INTO learnt VALUES (?)", (number,))
        for learnt in generations(self._root):  # a kill may have left those of an earlier one
            if learnt <= number:
                remove_readings(folder_of(self._root, learnt))

    def _take(self, number: int, row: SettledRow, store: Store) -> None:
        state = state_of(row.reason, row.status, row.redirect_target)
        if stands_for_page(row.reason, row.status, row.part, row.truncated, row.unread):
            self._keep(number, row, store)
        elif state is UrlState.MOVED or row.status in GONE_STATUSES or (state is UrlState.PAGE and not row.part):
            self._connection.execute(FORGET, (row.url,))
        elif row.reason is Reason.CLIENT_ERROR:
            self._connection.execute(FORGET_VALIDATORS, (row.url,))

    def _keep(self, number: int, row: SettledRow, store: Store) -> None:
        part = qualified(number, row.part)
        where = (part, row.position)
        if row.carried and self._connection.execute(CARRY, (number, row.depth, row.url, *where)).rowcount:
            return
        earlier = revisits.before(self._connection, row.url)
        changed = earlier is not None and earlier.digest != row.digest
        if changed and earlier is not None:
            changed = revisits.has_changed(store, earlier, part, row.position)
        validators = self._renew(number, row, store, part)
        if validators is not None and not row.carried:
            revisits.visited(self._connection, row.url, earlier, row.settled_at, changed, validators.last_modified)

    def _renew(self, number: int, row: SettledRow, store: Store, part: str) -> Validators | None:
        """Store the version of a page; returns its validators, None where it cannot be read."""
        met = (number, int(row.not_modified), row.depth, row.url)
        where = (part, row.position)
        if is_elsewhere(row.part) and self._connection.execute(CONFIRM, (*met, *where)).rowcount:
            return Validators(*self._connection.execute(VALIDATORS, (row.url,)).fetchone())
        try:
            headers, body = store.head(row.part, row.position)
        except (KeyError, Corrupt):  # it is fetched again as a new page
            self._connection.execute(FORGET, (row.url,))
            return None
        found = validators_of(headers)
        version = (*found, *where, body or f"{part}:{row.position}", row.size, row.digest)
        self._connection.execute(KEEP, (*met, *version, row_checksum(row.url, *version)))
        return found

    def mark_unlinked(self, directory: CrawlDirectory) -> int:
        """Note which pages this generation has not met although it has read all links, and asks for once more; returns
        how many there are that were not noted before."""
        with closing(directory.open_frontiers()) as frontier, transaction(self._connection, self._path) as connection:
            connection.execute("DELETE FROM met")
            connection.executemany("INSERT OR IGNORE INTO met VALUES (?)", ((url,) for url in frontier.urls()))
            unmet = [url for (url,) in connection.execute(UNMET)]
            away: set[str] = set()
            if unmet and not GIVEN_UP.isdisjoint(frontier.tally().reasons):
                away = {host_of(row.url) for row in frontier.settled() if row.reason in GIVEN_UP}
            marked = [(directory.generation, url) for url in unmet if host_of(url) not in away]
            connection.executemany("UPDATE page SET unlinked = ?, carried = 0 WHERE url = ?", marked)
        return len(marked)


def catch_up(root: Path, access: Settings | None = None) -> None:
    """Bring the file of a crawl directory up to date; a damaged one is made again. `access` as in KnownPages. Raises
    StorageError."""
    _with_known(root, access, KnownPages.catch_up)


def _with_known(root: Path, access: Settings | None, action: Callable[[KnownPages], None]) -> None:
    """Do something with the file of a crawl directory; a damaged one is removed, and it is done with a new one."""
    try:
        with KnownPages(root, access) as known:
            action(known)
    except Corrupt:
        remove(root)
        with KnownPages(root, access) as known:
            action(known)


def fix_choice(directory: CrawlDirectory) -> None:
    """Before a run of a re-crawl that asks only for what is due: choose that, unless an earlier run of the same
    generation has. What is known is made again where it was lost. Raises StorageError."""
    at, number = directory.manifest.chosen_at, directory.generation
    if not at:
        return

    def choose(known: KnownPages) -> None:
        known.catch_up(before=number)
        known.choose(number, at, directory.settings)

    _with_known(root_of(directory.path), directory.access, choose)


def mark_unlinked(directory: CrawlDirectory) -> int:
    """`KnownPages.mark_unlinked` of a re-crawl that fetched something; 0 elsewhere. Raises StorageError."""
    root = root_of(directory.path)
    if not directory.generation or not (root / KNOWN).exists():
        return 0
    if directory.tally().conclude().ending is Ending.FAILED:
        return 0
    with KnownPages(root) as known:
        return known.mark_unlinked(directory)


def remove(root: Path) -> None:
    """Remove the file. Raises StorageError."""
    with storage_errors(root / KNOWN):
        for path in root.glob(f"{KNOWN}*"):
            path.unlink(missing_ok=True)


def open_known(folder: Path) -> KnownReader | None:
    """What was known before the generation in this folder; None for a first crawl."""
    root = root_of(folder)
    return KnownReader(root) if root != folder and (root / KNOWN).exists() else None
