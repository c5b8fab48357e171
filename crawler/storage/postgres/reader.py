"""Reads the rows of one shard of a crawl in PostgreSQL.

Rules:
- Long answers are read in pieces of AT_ONCE rows by their key, so memory is flat, no transaction stays open, and a
  server that was away in between does no harm. Only the order of URLs needs a cursor of the server.
- The queries of a host's queue use the partial indexes `url_owed` and `url_retried`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import msgspec

from crawler.core.messages import Budget, Cookie, CookieNote, HostNote, Link, OutboxLink
from crawler.core.urls.canonical import host_of
from crawler.errors import Corrupt
from crawler.metrics.counters import Tally
from crawler.storage.frontier.base import Left
from crawler.storage.frontier.encoding import NOTED, UNREADABLE, host_mark, link_of, note_of, settled_row_of
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.frontier.schema import COLUMNS
from crawler.storage.postgres.schema import url_mark
from crawler.storage.postgres.session import PostgresSession, connect, postgres_errors

AT_ONCE = 2000
OURS = "crawl = %(crawl)s AND shard = %(shard)s"
LINK = "id, url, depth, via, attempts, status"
ALL = ", ".join(COLUMNS["url"])
OWED = f"SELECT {LINK} FROM crawler.url WHERE {OURS} AND reason IS NULL AND id > %(last)s ORDER BY id LIMIT %(most)s"
PENDING = f"""SELECT {LINK} FROM crawler.url WHERE {OURS} AND host = %(host)s AND reason IS NULL
    AND id > %(after)s AND attempts = 0 ORDER BY id LIMIT %(count)s"""
RETRIED = f"""SELECT {LINK} FROM crawler.url WHERE {OURS} AND host = %(host)s AND reason IS NULL AND attempts > 0
    ORDER BY id"""
NEXT_HOST = f"""SELECT host, url FROM crawler.url
    WHERE {OURS} AND reason IS NULL AND host > {{}} ORDER BY host LIMIT 1"""
HOSTS = f"""WITH RECURSIVE found AS (
    ({NEXT_HOST.format("%(host)s")}) UNION ALL
    SELECT following.host, following.url FROM found, LATERAL ({NEXT_HOST.format("found.host")}) AS following
) SELECT url FROM found LIMIT %(count)s"""
"""One index lookup for each host, however many links it owes."""
SEEDS = f"SELECT count(*) FROM crawler.url WHERE {OURS} AND reason IS NULL AND depth = 0"
WAITING = f"SELECT url FROM crawler.url WHERE {OURS} AND reason IS NULL AND attempts > 0"
JOINED = f"SELECT host FROM crawler.host WHERE {OURS} AND joined > 0 ORDER BY host"
URLS = f"SELECT id, url FROM crawler.url WHERE {OURS} AND id > %(last)s ORDER BY id LIMIT %(most)s"
SETTLED = f"""SELECT {ALL} FROM crawler.url WHERE {OURS} AND reason IS NOT NULL AND id > %(last)s
    ORDER BY id LIMIT %(most)s"""
BY_URL = f'SELECT {ALL} FROM crawler.url WHERE {OURS} AND reason IS NOT NULL ORDER BY url COLLATE "C"'
ONE = f"SELECT {ALL} FROM crawler.url WHERE {OURS} AND mark = %(mark)s AND reason IS NOT NULL"
NOTES = f"SELECT {NOTED} FROM crawler.host WHERE {OURS} AND host > %(last)s ORDER BY host LIMIT %(most)s"
NOTE = f"SELECT {NOTED} FROM crawler.host WHERE {OURS} AND host = %(host)s"
BUDGETS = f"SELECT spent FROM crawler.budget WHERE {OURS} AND host = %(host)s"
OUTBOX = f"SELECT seq, foreign_link FROM crawler.outbox WHERE {OURS} AND seq > %(last)s ORDER BY seq LIMIT %(most)s"
COOKIES = f"SELECT home, cookies FROM crawler.cookie WHERE {OURS} AND home > %(last)s ORDER BY home LIMIT %(most)s"
BEYOND = f"SELECT id, url, depth, via FROM crawler.beyond WHERE {OURS} AND id > %(last)s ORDER BY id LIMIT %(most)s"
NAMED = f"SELECT part, position, url FROM crawler.url WHERE {OURS} AND part = ANY(%(parts)s)"
RECORDS = f"SELECT part, count(*) FROM crawler.url WHERE {OURS} AND part IS NOT NULL GROUP BY part"
TALLY = f"SELECT tally FROM crawler.shard WHERE {OURS}"
NEXT_ID = f"SELECT coalesce(max(id), 0) + 1 FROM crawler.url WHERE {OURS}"
COUNT = f"SELECT count(*) FROM crawler.url WHERE {OURS}"
Row = Sequence[Any]


class PostgresReader:
    """Reads shard `shard` of the crawl with this seed. Readers may share a session. Raises Corrupt, StorageError."""

    def __init__(self, session: PostgresSession, seed: int, shard: int) -> None:
        self._session = session
        self._seed = seed
        self._key: dict[str, Any] = {"crawl": seed, "shard": shard}

    def owed(self) -> Iterator[Link]:
        """The links not settled."""
        return map(link_of, self._pieces(OWED, 0))

    def pending(self, host: str, after: int, count: int) -> list[Link]:
        """A window of the links of a host."""
        mark = host_mark(host, self._seed)
        return [link_of(row) for row in self._rows(PENDING, host=mark, after=after, count=count)]

    def retried(self, host: str) -> list[Link]:
        """The links of a host that wait for a retry."""
        return [link_of(row) for row in self._rows(RETRIED, host=host_mark(host, self._seed))]

    def hosts(self, after: str, count: int) -> list[str]:
        """Hosts with owed links, in the order of their marks."""
        mark = host_mark(after, self._seed) if after else -1
        return [host_of(url) for (url,) in self._rows(HOSTS, host=mark, count=count)]

    def left(self) -> Left:
        """The figures that a resume needs."""
        hosts = Counter(host_of(url) for (url,) in self._rows(WAITING))
        joined = tuple(host for (host,) in self._rows(JOINED))
        return Left(self._rows(SEEDS)[0][0], hosts.total(), tuple(hosts), joined)

    def count(self) -> int:
        """How many URLs there are."""
        return int(self._rows(COUNT)[0][0])

    def urls(self) -> Iterator[str]:
        """Every URL."""
        return (url for _, url in self._pieces(URLS, 0))

    def notes(self) -> Iterator[HostNote]:
        """The latest notes."""
        return map(_note_of, self._pieces(NOTES, ""))

    def note(self, host: str) -> HostNote | None:
        """The latest note of a host."""
        return next(map(_note_of, self._rows(NOTE, host=host)), None)

    def budgets(self, host: str) -> tuple[Budget, ...]:
        """The budgets of a host."""
        return tuple(self._decoded(spent, Budget) for (spent,) in self._rows(BUDGETS, host=host))

    def outbox(self) -> Iterator[OutboxLink]:
        """The unacknowledged links to other shards."""
        return (self._decoded(foreign, OutboxLink) for _, foreign in self._pieces(OUTBOX, 0))

    def cookies(self) -> Iterator[CookieNote]:
        """The cookies of every home."""
        return (
            CookieNote(home, self._decoded(cookies, tuple[Cookie, ...])) for home, cookies in self._pieces(COOKIES, "")
        )

    def beyond(self) -> Iterator[Link]:
        """The URLs beyond the depth limit."""
        return (link_of((0, url, depth, via, 0, 0)) for _, url, depth, via in self._pieces(BEYOND, 0))

    def settled(self, by_url: bool = False) -> Iterator[SettledRow]:
        """Every settled URL."""
        return map(self._settled_row, self._in_order(BY_URL) if by_url else self._pieces(SETTLED, 0))

    def settled_after(self, id: int) -> Iterator[SettledRow]:
        """The settled URLs with a greater id, in its order."""
        return map(self._settled_row, self._pieces(SETTLED, id))

    def find(self, url: str) -> SettledRow | None:
        """The row of one URL."""
        return next(map(self._settled_row, self._rows(ONE, mark=url_mark(url, self._seed))), None)

    def named(self, parts: Iterable[str]) -> dict[str, dict[int, str]]:
        """Positions that settled rows name, by part."""
        named: dict[str, dict[int, str]] = {part: {} for part in parts}
        if named:
            for part, position, url in self._rows(NAMED, parts=list(named)):
                named[part][position] = url
        return named

    def records(self) -> dict[str, int]:
        """The parts that settled rows name, with their numbers of records."""
        return {str(part): int(count) for part, count in self._rows(RECORDS)}

    def tally(self) -> Tally:
        """The tally of the last commit."""
        rows = self._rows(TALLY)
        return self._decoded(rows[0][0], Tally) if rows else Tally()

    def next_id(self) -> int:
        """The first free id."""
        return int(self._rows(NEXT_ID)[0][0])

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _settled_row(self, row: Row) -> SettledRow:
        try:
            return settled_row_of(row)
        except UNREADABLE as error:
            raise Corrupt(f"{self._session.database} is damaged (row {row[0]} of its URLs is not valid)") from error

    def _decoded(self, encoded: str | bytes, kind: Any) -> Any:
        try:
            return msgspec.json.decode(encoded, type=kind)
        except msgspec.MsgspecError as error:
            raise Corrupt(f"{self._session.database} is damaged ({error})") from error

    def _rows(self, query: str, **values: object) -> list[Row]:
        with self._session.use() as connection:
            return list(connection.execute(query, self._key | values).fetchall())

    def _pieces(self, query: str, last: int | str) -> Iterator[Row]:
        """The rows of a query whose first column is its key, in pieces; `last` is less than the first key."""
        while True:
            rows = self._rows(query, last=last, most=AT_ONCE)
            yield from rows
            if len(rows) < AT_ONCE:
                return
            last = rows[-1][0]

    def _in_order(self, query: str) -> Iterator[Row]:
        """The rows of a query through a cursor of the server, on a connection of its own."""
        database = self._session.database
        with (
            postgres_errors(database),
            closing(connect(database)) as connection,
            connection.transaction(),
            connection.cursor(name="in_order") as cursor,
        ):
            cursor.itersize = AT_ONCE
            cursor.execute(query, self._key)
            yield from cursor


def _note_of(row: Row) -> HostNote:
    host, robots, *others = row
    return note_of((host, None if robots is None else robots.decode("utf-8", "surrogatepass"), *others))
