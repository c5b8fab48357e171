"""One new frontier, filled with what can be read of the old ones and of the parts of a damaged crawl.

Rules:
- A URL whose row cannot be trusted is owed again: a settled row counts if its checksum matches and the record that it
  names can be read and has its digest; an intact record without a row counts as settled.
- Where rows of a frontier were lost, links may be lost too. All bodies are parsed again for links, and URLs without a
  stored body (a redirect, a page that was not kept) are owed again. The depth of a link is then known only as far as
  rows have it.
- Budgets of hosts and cookies are kept as far as they can be read. Of two cookie jars of a home the last counts; a host
  whose budget is lost gets a new one.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from crawler.core.messages import Budget, Cookie, HostPlacement, Link, OutboxLink, Settled
from crawler.core.page.digest import term
from crawler.core.reasons import ParseSkipped, Reason
from crawler.core.settling import was_carried, was_not_modified
from crawler.core.urls.canonical import Resolver, canonical, host_of
from crawler.core.urls.scope import Scope
from crawler.core.urls.sitemap_steps import SitemapNamer, is_named
from crawler.errors import StorageError
from crawler.metrics.counters import Tally
from crawler.settings import find_function, open_scope
from crawler.storage.database import from_sql_text
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.beyond import forget_known, keep_rows
from crawler.storage.frontier.encoding import (
    KEEP_COOKIES,
    NOTE,
    NOTED,
    SPENT,
    decoded_via,
    encoded_via,
    host_mark,
    max_budgets,
    spent_rows,
)
from crawler.storage.frontier.meta import keep_manifest, keep_tally
from crawler.storage.frontier.schema import COLUMNS
from crawler.storage.generations import is_elsewhere
from crawler.storage.integrity import intact_rows
from crawler.storage.pages.base import Page
from crawler.storage.repair_parts import Record, Records, record_of, whole_records
from crawler.storage.stored_crawl import link_resolver, stored_links
from crawler.storage.verify import term_of

ROW = COLUMNS["url"][1:]
KEEP = f"""INSERT INTO url ({", ".join(ROW)}) VALUES ({", ".join("?" * len(ROW))}) ON CONFLICT (url) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in ROW[1:])}"""
LACKING = {"cut": 0, "unread": None}
"""Values for columns that rows of format 3 lack."""
OWE = "INSERT OR IGNORE INTO url (url, host, depth, via) VALUES (?, ?, ?, ?)"
SETTLED = (
    "SELECT url, reason, status, attempts, size, digest, part, position, truncated, cut, unread, depth, detail FROM url"
    " WHERE reason NOTNULL"
)
COUNTED_ANEW = (
    *("queued", "settled", "urls", "pages", "bytes", "truncated", "links_cut", "unread", "too_deep", "seeds_answered"),
    *("statuses", "reasons", "digest", "not_modified", "bytes_saved", "carried_over"),
)
"""The counts that are recomputed from the rows. The others are taken from the stored tallies."""
TAKEN = ("url", "host", "outbox", "budget", "cookie", "beyond", "meta")
"""Tables whose rows are checked or merged one by one; rows of other tables are copied."""
UNKNOWN_DEPTH = 1
REDIRECTS = {reason for reason in Reason if reason.value.startswith("redirect")}


class RebuiltFrontier:
    """The new frontier while it is being filled, in one transaction of `connection`. `records` are the intact ones of
    all parts; `lost`: rows of the old frontiers may be missing. It counts the settled rows that are `kept`, those
    `recovered` from records, and the URLs `owed`, `again` of which had been settled."""

    def __init__(self, connection: sqlite3.Connection, directory: CrawlDirectory, records: Records, lost: bool) -> None:
        self._connection = connection
        self._directory = directory
        self._seed = directory.manifest.seed
        self._settings = directory.settings
        self._scope: Scope = open_scope(self._settings)
        self._filter = find_function("filter", self._settings.filter) or (lambda url: True)
        self._seeds = {canonical(url) for url in self._settings.seeds}
        self._records = records
        self._store = directory.store()
        self._named: set[tuple[str, int]] = set()
        self._lost = lost
        self.kept = self.recovered = self.again = self.owed = 0

    def take_rows(self, frontiers: list[Path]) -> None:
        """Take the intact rows of the old frontiers: URLs, notes of hosts, budgets, cookies, links in the outbox."""
        for path in frontiers:
            for row in intact_rows(path, "url", self._seed):
                self._take_row(LACKING | row)
            for note in intact_rows(path, "host", self._seed):
                note["reach"] = HostPlacement.OWNER
                self._connection.execute(NOTE, [note.get(name, 0) for name in NOTED.split(", ")])
            for sent in intact_rows(path, "outbox", self._seed):
                with suppress(msgspec.DecodeError):
                    foreign = msgspec.json.decode(sent["foreign_link"], type=OutboxLink)
                    link, limited = foreign.link, foreign.beyond or not foreign.admitted
                    self._owe(link.url, link.depth, encoded_via(link.via), limited=limited)
            for table in COLUMNS.keys() - set(TAKEN):
                self._take_over(path, table)
        self._take_accounts(frontiers)
        for path in frontiers:
            for row in intact_rows(path, "beyond", self._seed):
                keep_rows(self._connection, [(row["url"], row["depth"], row["via"])])

    def _take_over(self, path: Path, table: str) -> None:
        for row in intact_rows(path, table, self._seed):
            query = f"INSERT OR REPLACE INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
            self._connection.execute(query, list(row.values()))

    def _take_accounts(self, frontiers: list[Path]) -> None:
        budgets: list[Budget] = []
        for path in frontiers:
            for row in intact_rows(path, "budget", self._seed):
                with suppress(msgspec.DecodeError):
                    budgets.append(msgspec.json.decode(row["spent"], type=Budget))
            for row in intact_rows(path, "cookie", self._seed):
                with suppress(msgspec.DecodeError):
                    msgspec.json.decode(row["cookies"], type=tuple[Cookie, ...])
                    self._connection.execute(KEEP_COOKIES, (row["home"], row["cookies"]))
        self._connection.executemany(SPENT, spent_rows(max_budgets(budgets).values()))

    def _take_row(self, row: dict[str, Any]) -> None:
        if self._stands(row):
            self._connection.execute(KEEP, [row[name] for name in ROW])
            self.kept += 1
        else:
            self._owe(row["url"], row["depth"], row["via"])
            self.again += row["reason"] is not None

    def _stands(self, row: dict[str, Any]) -> bool:
        """Whether a settled row can be trusted; claims the record that it names."""
        url, status, reason = row["url"], row["status"], row["reason"]
        if reason is None:
            return False
        if row["part"]:
            key = row["part"], row["position"]
            record = self._records.get(key) or self._elsewhere(*key)
            if record is None or key in self._named:
                return False
            said = url, row["size"], row["digest"], from_sql_text(row["content_type"] or "")
            if said != (record.url, record.size, record.digest, record.content_type):
                return False
            self._named.add(key)
            return True
        if row["digest"] and row["digest"] != term(url, status):
            return False
        unread = self._settings.follow_errors and status >= 400
        return not self._lost or (reason not in REDIRECTS and not 200 <= status <= 299 and not unread)

    def _elsewhere(self, part: str, position: int) -> Record | None:
        """The record of a page that another generation has stored."""
        if not is_elsewhere(part):
            return None
        try:
            page = self._store.read(part, position)
        except (StorageError, KeyError):
            return None
        return record_of(page) if page.digest == term_of(page) else None

    def take_records(self) -> None:
        """Settle the URLs of intact records that no row names. Those that the network truncated are fetched again."""
        for (part, position), page in self._records.items():
            known = self._connection.execute("SELECT reason, depth FROM url WHERE url = ?", (page.url,)).fetchone()
            if (known and known[0]) or page.truncated in ("time", "disconnect") or canonical(page.url) != page.url:
                continue
            row = dict.fromkeys(ROW) | {
                "url": page.url,
                "host": self._mark(page.url),
                "depth": known[1] if known else 0 if page.url in self._seeds else UNKNOWN_DEPTH,
                "attempts": 1,
                "status": page.status,
                "reason": (Reason.OK if 200 <= page.status <= 299 else Reason.REDIRECT_INVALID).value,
                "part": part,
                "position": position,
                "size": page.size,
                "digest": page.digest,
                "truncated": page.truncated or None,
                "content_type": page.content_type or None,
                "settled_at": page.fetched_at,
                "seconds": 0.0,
                "cut": 0,
            }
            self._connection.execute(KEEP, [row[name] for name in ROW])
            self.recovered += 1

    def take_links(self) -> None:
        """Owe the links of all bodies: the rows of some may be lost."""
        for url, via in self._connection.execute("SELECT url, via FROM url").fetchall():
            if not is_named(decoded_via(via)):
                self._scope.join(host_of(url))  # every admitted URL was in scope, but for the sitemaps that were named
        resolver, namer = link_resolver(self._settings, self._scope), SitemapNamer(self._settings)
        for part in self._store.parts():
            for position, page in whole_records(self._store, part):
                query = "SELECT depth, via FROM url WHERE part = ? AND position = ?"
                named = self._connection.execute(query, (part, position)).fetchone()
                if named:
                    self._owe_links(page, named[0], named[1], resolver, namer)
        query = "SELECT part, position, depth, via FROM url WHERE part LIKE '%/%'"
        for part, position, depth, via in self._connection.execute(query).fetchall():
            self._owe_links(self._store.read(part, position), depth, via, resolver, namer)

    def _owe_links(self, page: Page, depth: int, via: str | None, resolver: Resolver, namer: SitemapNamer) -> None:
        naming = namer.naming(Link(0, page.url, depth, decoded_via(via)))
        for link in stored_links(page, self._settings, resolver, naming):
            if self._scope.admits_host(host_of(link)) and self._filter(link):
                self._owe(link, depth + 1, limited=True)

    def _owe(self, url: str, depth: int, via: str | None = None, *, limited: bool = False) -> None:
        """Add a URL as owed; `limited`: one beyond the depth limit goes to `beyond` instead."""
        most = self._settings.max_depth
        if limited and most is not None and depth > most:
            keep_rows(self._connection, [(url, depth, via)])
        else:
            self._connection.execute(OWE, (url, self._mark(url), depth, via))

    def _mark(self, url: str) -> int:
        return host_mark(host_of(url), self._seed)

    def count(self, frontiers: list[Path]) -> None:
        """Store the tally, recomputed from the rows and merged with the old ones, and a copy of the manifest."""
        forget_known(self._connection)
        too_deep = self._connection.execute("SELECT count(*) FROM beyond").fetchone()[0]
        fresh, tally = Tally(), Tally()
        queued = self._connection.execute("SELECT count(*) FROM url").fetchone()[0]
        settled = (
            Settled(
                0,
                url,
                Reason(reason),
                status,
                attempts,
                size or 0,
                digest or b"",
                part or "",
                position or 0,
                truncated or "",
                cut,
                unread=ParseSkipped(unread) if unread else None,
                seed=depth == 0,
                not_modified=was_not_modified(part or "", detail or ""),
                carried=was_carried(part or "", detail or ""),
            )
            for url, reason, status, attempts, size, digest, part, position, truncated, cut, unread, depth, detail in (
                self._connection.execute(SETTLED)
            )
        )
        fresh.add(queued, settled, 0, too_deep, 0)
        for path in frontiers:
            for row in intact_rows(path, "meta", self._seed):
                if row["key"] == "tally":
                    tally.merge(msgspec.json.decode(row["value"], type=Tally))
        for name in COUNTED_ANEW:
            setattr(tally, name, getattr(fresh, name))
        keep_tally(self._connection, tally)
        keep_manifest(self._connection, msgspec.json.encode(self._directory.manifest))
        self.owed = tally.owed
