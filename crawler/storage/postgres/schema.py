"""The tables in PostgreSQL: those of an SQLite frontier (crawler/storage/frontier/schema.py), by crawl and shard.

Rules:
- A crawl is named by its seed: a random number of 63 bits in its manifest. All tables begin with it, so that a database
  holds many crawls and one is removed by that number.
- `mark` is the URL as 128 bits of xxh3 with the seed of the crawl. It is what is unique: an index on long URLs would
  not fit into a page, and nobody who does not know the seed can make two URLs collide.
- What may hold any text of the web (NUL, lone surrogates) is bytea in UTF-8: `text` takes neither.
- A row has no checksum of ours: PostgreSQL has its own (initdb --data-checksums).
- `shard.epoch` is the fence: see crawler/storage/postgres/frontier.py.
"""

from __future__ import annotations

from uuid import UUID

from xxhash import xxh3_128_digest

from crawler.errors import StorageError
from crawler.storage.postgres.session import Connection, Database

FORMAT = 1
CREATING = 0x637261776C6572  # the advisory lock of whoever creates the tables: "crawler"
SCHEMA = f"""
CREATE SCHEMA IF NOT EXISTS crawler;
CREATE TABLE crawler.format (number integer NOT NULL);
INSERT INTO crawler.format VALUES ({FORMAT});
CREATE TABLE crawler.shard (
    crawl bigint NOT NULL,
    shard integer NOT NULL,
    epoch bigint NOT NULL,
    commits bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    tally text NOT NULL DEFAULT '{{}}',
    PRIMARY KEY (crawl, shard)
);
CREATE TABLE crawler.url (
    crawl bigint NOT NULL,
    shard integer NOT NULL,
    id bigint NOT NULL,
    url text NOT NULL,
    mark uuid NOT NULL,
    host bigint NOT NULL,
    depth integer NOT NULL,
    via text,
    attempts integer NOT NULL DEFAULT 0,
    status integer NOT NULL DEFAULT 0,
    reason text,
    part text,
    position bigint,
    size bigint,
    digest bytea,
    truncated text,
    content_type bytea,
    settled_at double precision,
    seconds double precision,
    detail bytea,
    cut integer NOT NULL DEFAULT 0,
    unread text,
    PRIMARY KEY (crawl, shard, id)
);
CREATE UNIQUE INDEX url_mark ON crawler.url (crawl, shard, mark);
CREATE INDEX url_owed ON crawler.url (crawl, shard, host, id) WHERE reason IS NULL;
CREATE INDEX url_retried ON crawler.url (crawl, shard, host, id) WHERE reason IS NULL AND attempts > 0;
CREATE INDEX url_seed ON crawler.url (crawl, shard) WHERE reason IS NULL AND depth = 0;
CREATE TABLE crawler.host (
    crawl bigint NOT NULL,
    shard integer NOT NULL,
    host text NOT NULL,
    robots bytea,
    robots_until double precision NOT NULL,
    delay double precision NOT NULL,
    rest_until double precision NOT NULL,
    joined integer NOT NULL,
    reach integer NOT NULL,
    heard integer NOT NULL,
    down_for double precision NOT NULL,
    PRIMARY KEY (crawl, shard, host)
);
CREATE TABLE crawler.budget (
    crawl bigint NOT NULL,
    shard integer NOT NULL,
    host text NOT NULL,
    pattern bigint NOT NULL,
    spent bytea NOT NULL,
    PRIMARY KEY (crawl, shard, host, pattern)
);
CREATE TABLE crawler.outbox (
    crawl bigint NOT NULL,
    shard integer NOT NULL,
    seq bigint NOT NULL,
    target integer NOT NULL,
    foreign_link bytea NOT NULL,
    PRIMARY KEY (crawl, shard, seq)
);
CREATE TABLE crawler.cookie (
    crawl bigint NOT NULL,
    shard integer NOT NULL,
    home text NOT NULL,
    cookies bytea NOT NULL,
    PRIMARY KEY (crawl, shard, home)
);
CREATE TABLE crawler.beyond (
    crawl bigint NOT NULL,
    shard integer NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    url text NOT NULL,
    mark uuid NOT NULL,
    depth integer NOT NULL,
    via text,
    PRIMARY KEY (crawl, shard, mark)
);
CREATE UNIQUE INDEX beyond_id ON crawler.beyond (crawl, shard, id);
CREATE TABLE crawler.meta (
    crawl bigint NOT NULL,
    shard integer NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (crawl, shard, key)
);
"""
THERE = "SELECT to_regclass('crawler.format') IS NOT NULL"
ROWS = ("url", "host", "budget", "outbox", "cookie", "beyond", "meta")
"""The tables with the rows of a shard; the shard itself has one in `shard`."""


def url_mark(url: str, seed: int) -> UUID:
    """The mark of a URL in a crawl of this seed."""
    return UUID(bytes=xxh3_128_digest(url.encode(), seed))


def is_there(connection: Connection) -> bool:
    """Whether the database has the tables."""
    row = connection.execute(THERE).fetchone()
    return row is not None and row[0] is True


def ensure_tables(connection: Connection, database: Database) -> None:
    """Create the tables where there are none. Raises StorageError where they are of another version."""
    if not is_there(connection):
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (CREATING,))
            if not is_there(connection):
                connection.execute(SCHEMA)
    check_format(connection, database)


def check_format(connection: Connection, database: Database) -> None:
    """Raises StorageError where the tables are of another version."""
    row = connection.execute("SELECT number FROM crawler.format").fetchone()
    if row != (FORMAT,):
        found = "none" if row is None else row[0]
        raise StorageError(
            f"{database} has tables of format {found}, this version uses format {FORMAT}; "
            "use the version of the crawler that made them"
        )
