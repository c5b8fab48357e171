"""What the frontier in PostgreSQL guarantees beside the contract of all frontiers (test_frontiers.py)."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from time import time
from typing import Any

import pytest
from msgspec.structs import replace

from crawler.core.messages import (
    Actions,
    Budget,
    Cookie,
    CookieNote,
    HostNote,
    Link,
    OutboxLink,
    Settled,
    ShardOutput,
)
from crawler.core.page.digest import term
from crawler.core.reasons import Pause, Reason
from crawler.errors import Locked, StorageError, Unreachable, UsageError
from crawler.runtime.recorder import Recorder
from crawler.settings import Settings, merge_layers
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.base import Batch
from crawler.storage.frontier.joined import join
from crawler.storage.resharding import ensure_layout
from crawler.storage.verify import audit
from tests.database_server import PASSWORD, DatabaseServer

pytest.importorskip("psycopg")

from crawler.storage.postgres.crawl import PostgresCrawl
from crawler.storage.postgres.frontier import PostgresFrontier
from crawler.storage.postgres.session import Database

PATIENCE = 30.0


@pytest.fixture
def database(database_server: DatabaseServer) -> Database:
    return Database(database_server.url, database_server.password)


@pytest.fixture
def seed() -> int:
    return secrets.randbits(63)


def link(number: int, **facts: object) -> Link:
    return Link(number, f"http://h{number % 7}.test/{number}", 1, **facts)  # type: ignore[arg-type]


def page(number: int) -> Settled:
    url = link(number).url
    return Settled(number, url, Reason.OK, 200, 1, 5, term(url, 200, b"xxxxx"), "0001-000", number)


def refused(database: Database, seed: int) -> int:
    from crawler.storage.postgres.session import connect

    with closing(connect(database)) as connection:
        row: Any = connection.execute("SELECT sum(refused) FROM crawler.shard WHERE crawl = %s", (seed,)).fetchone()
        return int(row[0])


def test_a_process_that_was_replaced_writes_nothing(database: Database, seed: int) -> None:
    with closing(PostgresFrontier(database, seed)) as old:
        old.commit(Batch(queued=[link(1), link(2)]), 1.0)
        with closing(PostgresFrontier(database, seed)) as new:
            new.commit(Batch(queued=[link(3)], settled=[page(1)]), 2.0)
            for batch in (Batch(settled=[page(2)]), Batch(queued=[link(3)]), Batch(undetermined=[link(4)])):
                with pytest.raises(Locked, match="another process has taken shard 0"):
                    old.commit(batch, 3.0)
            with pytest.raises(Locked):
                old.keep_manifest(b"{}")
            assert [one.id for one in new.owed()] == [2, 3]
            assert (new.tally().queued, new.tally().settled) == (3, 1)
            assert refused(database, seed) == 4
            new.commit(Batch(settled=[page(2)]), 4.0)


def test_shards_and_crawls_in_one_database_do_not_touch_each_other(database: Database, seed: int) -> None:
    other_seed = secrets.randbits(63)
    opened = [PostgresFrontier(database, crawl, shard) for crawl in (seed, other_seed) for shard in (0, 1)]
    for number, frontier in enumerate(opened, 1):
        frontier.commit(Batch(queued=[link(1), link(10 * number)], notes=[HostNote(f"http://n{number}.test")]), 1.0)
    assert [[one.id for one in frontier.owed()] for frontier in opened] == [[1, 10], [1, 20], [1, 30], [1, 40]]
    one, other = PostgresCrawl(database, seed), PostgresCrawl(database, other_seed)
    assert join(one.readers()).tally().queued == 4
    one.remove()
    assert (one.shards(), other.shards()) == ([], [0, 1])
    assert [len(list(frontier.notes())) for frontier in opened] == [0, 0, 1, 1]
    with pytest.raises(Locked):
        opened[0].commit(Batch(queued=[link(5)]), 2.0)
    for frontier in opened:
        frontier.close()


class CutAtCommit:
    """A proxy that closes both connections when a COMMIT has been answered, and does not pass the answer on, once it is
    armed. Before and after that it passes everything on."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.armed = threading.Event()
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                committing = threading.Event()
                for where in ((client, server, committing, True), (server, client, committing, False)):
                    threading.Thread(target=self._pass_on, args=where, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, committing: threading.Event, asks: bool) -> None:
        with suppress(OSError):
            while received := source.recv(65536):
                if asks and self.armed.is_set() and b"COMMIT" in received:
                    committing.set()
                elif not asks and committing.is_set() and b"COMMIT" in received:
                    self.armed.clear()
                    self.cuts += 1
                    break
                target.sendall(received)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def cutting(database_server: DatabaseServer) -> Iterator[CutAtCommit]:
    proxy = CutAtCommit(database_server.port)
    yield proxy
    proxy.close()


def test_a_commit_whose_answer_is_lost_is_not_written_twice(
    database: Database, database_server: DatabaseServer, cutting: CutAtCommit, seed: int
) -> None:
    through = replace(database, url=database_server.url.replace(str(database_server.port), str(cutting.port)))
    with closing(PostgresFrontier(through, seed)) as frontier:
        frontier.commit(Batch(queued=[link(1)]), 1.0)
        batch = Batch(queued=[link(2)], undetermined=[link(3), Link(4, link(1).url, 2)], settled=[page(1)])
        cutting.armed.set()
        with pytest.raises(Unreachable, match="cannot be reached"):
            frontier.commit(batch, 2.0)
        assert cutting.cuts == 1
        assert frontier.commit(batch, 2.0) == [link(3)], "what was new is told although it was written before"
        assert (frontier.tally().queued, frontier.tally().settled) == (3, 1)
        frontier.commit(Batch(settled=[page(2)]), 3.0)
        assert [one.id for one in frontier.owed()] == [3]


def test_a_crawl_waits_while_the_server_is_away(seed: int) -> None:
    server = DatabaseServer()
    try:
        frontier = PostgresFrontier(Database(server.url, server.password), seed)
        paused, over = threading.Event(), threading.Event()
        recorder = Recorder(frontier, seed, disk_wait=PATIENCE)
        recorder.on_pause(lambda why, lasts: (paused if lasts else over).set() if why is Pause.SERVER else None)
        recorder.start(lambda: None, lambda event: None)
        server.kill()
        recorder.keep(Actions(queued=[link(1)]))
        assert paused.wait(PATIENCE) and not over.is_set()
        server.start()
        assert over.wait(PATIENCE)
        recorder.keep(Actions(queued=[link(2)]))
        recorder.close()
        assert [one.id for one in frontier.owed()] == [1, 2]
        server.kill()
        with pytest.raises(Unreachable, match=r"the database 127\.0\.0\.1:[0-9]+/postgres cannot be reached"):
            frontier.tally()
        frontier.close()
    finally:
        server.close()


# ---- copies, layouts, directories ------------------------------------------------------------------------------------


def filled(frontier: Any) -> None:
    """Rows of each table."""
    note, budget = HostNote("http://a.test", "Disallow: /\0", 10, 2, 1.5), Budget("http://a.test", 7, 3, 5, b"t", b"w")
    jar = CookieNote("http://a.test", (Cookie("/", "n", "v", 9.0),))
    odd = replace(page(1), detail="\udcff", content_type="a\0b", seconds=0.25, cut=3)
    frontier.commit(Batch(queued=[link(1), link(2, via=("http://b.test/",)), link(3)], notes=[note]), 1.0)
    frontier.commit(Batch(settled=[odd, page(2)], budgets=[budget], cookies={jar.home: jar}), 2.0)
    frontier.commit(Batch(beyond=[replace(link(9), id=0, depth=4), replace(link(8), id=0, depth=5)]), 3.0)
    frontier.commit(Batch(outputs=[ShardOutput(foreign=[OutboxLink(1, 1, link(5))])]), 4.0)
    frontier.keep_manifest(b'{"a": 1}')


def state(frontier: Any) -> list[Any]:
    """All that can be read of a frontier."""
    lists = (frontier.owed(), frontier.settled(), frontier.notes(), frontier.beyond(), frontier.outbox())
    return [*map(list, lists), list(frontier.cookies()), frontier.budgets("http://a.test"), frontier.tally()]


def test_rows_are_copied_to_files_and_back(database: Database, seed: int, tmp_path: Path) -> None:
    from crawler.storage.frontier.sqlite import SqliteFrontier

    crawl = PostgresCrawl(database, seed)
    with closing(crawl.open(0)) as frontier:
        filled(frontier)
        before = state(frontier)
    path = tmp_path / "shard" / "frontier.sqlite"
    crawl.copy_to([path])
    with closing(SqliteFrontier(path, seed=seed)) as copy:
        assert state(copy) == before
        copy.commit(Batch(settled=[page(3)]), 5.0)
        changed = state(copy)
    crawl.replace_from([path])
    with closing(crawl.open(0)) as frontier:
        assert state(frontier) == changed != before
        frontier.commit(Batch(queued=[link(frontier.next_id())]), 6.0)
    assert list(crawl.faults()) == []


def settings_of(database: Database, **keys: Any) -> Settings:
    seeds = ["http://h0.test/"]
    return merge_layers({"seeds": seeds, "frontier": database.url, "frontier_password": database.password, **keys})


def test_rows_move_to_other_numbers_of_shards_and_back(database: Database, tmp_path: Path) -> None:
    settings = settings_of(database)
    directory = CrawlDirectory.create(tmp_path / "c", settings, demo=False, fresh=False)
    ensure_layout(directory, settings, 1)
    directory.begin_run(settings)
    count = 700
    with closing(directory.frontier()) as frontier:
        frontier.commit(Batch(queued=[link(number) for number in range(1, count + 1)]), time())
        frontier.commit(Batch(settled=[replace(page(n), part="") for n in range(1, count, 2)]), time())
        frontier.commit(
            Batch(outputs=[ShardOutput(foreign=[OutboxLink(1, 1, link(count + 1), admitted=True)])]), time()
        )
    assert not list((tmp_path / "c").glob("shard-*"))
    for shards in (3, 2, 1):
        ensure_layout(directory, settings, shards)
        assert directory.shards_there() == list(range(shards))
        with closing(directory.open_frontiers()) as frontiers:
            urls = list(frontiers.urls())
            assert (len(urls), len(set(urls)), frontiers.tally().queued) == (count + 1, count + 1, count + 1)
            assert len(list(frontiers.settled())) == frontiers.tally().settled == count // 2
        directory.check_to_write()
    assert not list((tmp_path / "c").glob(".moving-*"))
    directory.close()


def test_a_replaced_crawl_takes_its_rows_with_it(database: Database, tmp_path: Path) -> None:
    settings = settings_of(database)
    directory = CrawlDirectory.create(tmp_path / "c", settings, demo=False, fresh=False)
    ensure_layout(directory, settings, 2)
    rows = directory.postgres
    assert rows is not None and rows.shards() == [0, 1]
    directory.close()
    again = CrawlDirectory.create(tmp_path / "c", settings, demo=False, fresh=True)
    assert rows.shards() == []
    again.close()


def test_verify_tells_a_tally_that_its_rows_do_not_match(database: Database, tmp_path: Path) -> None:
    from crawler.storage.postgres.session import connect

    settings = settings_of(database)
    directory = CrawlDirectory.create(tmp_path / "c", settings, demo=False, fresh=False)
    ensure_layout(directory, settings, 1)
    directory.begin_run(settings)
    with closing(directory.frontier()) as frontier:
        frontier.commit(Batch(queued=[link(1), link(2)]), time())
    assert audit(directory).problems == []
    with closing(connect(database)) as connection:
        connection.execute("DELETE FROM crawler.url WHERE crawl = %s AND id = 1", (directory.manifest.seed,))
    assert "shard 0: 1 URLs are owed, but the tally says 2" in audit(directory).problems
    directory.close()


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_one_line_without_it(
    database: Database, seed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WRONG", "not-the-password")
    with pytest.raises(StorageError, match="refuses the login") as caught:
        PostgresFrontier(replace(database, password="env:WRONG"), seed)
    assert not isinstance(caught.value, Unreachable)
    assert "\n" not in str(caught.value) and "not-the-password" not in str(caught.value)
    kept = tmp_path / "password"
    kept.write_text(f"{PASSWORD}\n")
    PostgresFrontier(replace(database, password=f"file:{kept}"), seed).close()


def test_a_reference_to_nothing_is_told(database: Database, seed: int) -> None:
    with pytest.raises(UsageError, match="environment variable NOT_SET_AT_ALL"):
        PostgresFrontier(replace(database, password="env:NOT_SET_AT_ALL"), seed)


def test_a_server_that_does_not_run_is_told(seed: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}/x cannot be reached") as caught:
        PostgresFrontier(Database(f"postgresql://u@127.0.0.1:{port}/x"), seed)
    assert "\n" not in str(caught.value)


def test_tables_of_another_version_are_refused(seed: int) -> None:
    from crawler.storage.postgres.session import connect

    server = DatabaseServer()
    try:
        database = Database(server.url, server.password)
        PostgresFrontier(database, seed).close()
        with closing(connect(database)) as connection:
            connection.execute("UPDATE crawler.format SET number = 99")
        with pytest.raises(StorageError, match="format 99"):
            PostgresFrontier(database, seed)
        with pytest.raises(StorageError, match="format 99"):
            PostgresCrawl(database, seed).shards()
    finally:
        server.close()
