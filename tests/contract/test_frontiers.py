"""The contract of all frontiers, checked on each implementation; then what the file on disk guarantees in addition."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from crawler.core.messages import (
    Actions,
    Budget,
    Cookie,
    CookieNote,
    DedupResult,
    HostNote,
    HostScan,
    HostScanResult,
    Link,
    OutboxLink,
    Refill,
    RefillRequest,
    Settled,
    ShardOutput,
)
from crawler.core.page.digest import add, in_hex, term
from crawler.core.reasons import Ending, ParseSkipped, Reason
from crawler.core.settling import not_taken
from crawler.errors import Corrupt, StorageError
from crawler.storage.database import add_checksum
from crawler.storage.export import COLUMNS as FIELDS
from crawler.storage.export import as_csv, as_jsonl, columns_of
from crawler.storage.frontier.answers import answers
from crawler.storage.frontier.base import Batch, Frontier, Left
from crawler.storage.frontier.joined import join
from crawler.storage.frontier.memory import MemoryFrontier
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.frontier.schema import COLUMNS, open_file
from crawler.storage.frontier.sqlite import SqliteFrontier
from tests.database_server import DatabaseServer
from tests.hostile_text import all_of_them

Open = Callable[[], Frontier]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def open_frontier(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same frontier each time; a memory frontier is kept for the whole test."""
    if request.param == "memory":
        one = MemoryFrontier()
        return lambda: one
    if request.param == "postgres":
        return _opener(request.getfixturevalue("database_server"))
    return lambda: SqliteFrontier(tmp_path / "frontier.sqlite")


def _opener(server: DatabaseServer) -> Open:
    """Opens the same frontier in PostgreSQL each time: one of a crawl that no other test has."""
    from crawler.storage.postgres.frontier import PostgresFrontier
    from crawler.storage.postgres.session import Database

    seed = secrets.randbits(63)
    return lambda: PostgresFrontier(Database(server.url, server.password), seed)


def link(number: int, **facts: object) -> Link:
    return Link(number, f"http://a.test/{number}", 1, **facts)  # type: ignore[arg-type]


def page(number: int, part: str = "p", position: int = 1, size: int = 5) -> Settled:
    url = f"http://a.test/{number}"
    return Settled(
        number, url, Reason.OK, 200, 1, size, term(url, 200, b"x" * size), part, position, content_type="text/html"
    )


def test_a_new_frontier_is_empty(open_frontier: Open) -> None:
    frontier = open_frontier()
    assert (list(frontier.owed()), list(frontier.urls()), list(frontier.notes()), list(frontier.settled())) == (
        [],
        [],
        [],
        [],
    )
    assert frontier.next_id() == 1
    assert frontier.tally().urls == 0


def test_settled_urls_are_found_and_read_in_the_order_of_urls(open_frontier: Open) -> None:
    frontier, other = open_frontier(), MemoryFrontier()
    frontier.commit(Batch(queued=[link(2), link(9), link(10), link(4)]), 1.0)
    frontier.commit(Batch(settled=[page(10), page(2), page(9)]), 2.0)
    other.commit(Batch(queued=[link(1)], settled=[page(1)]), 1.0)
    frontiers = join([frontier, other])
    assert _numbers(frontier.settled()) == [2, 9, 10]
    assert _numbers(frontier.settled(by_url=True)) == [10, 2, 9]
    assert _numbers(frontiers.settled(by_url=True)) == [1, 10, 2, 9]
    found = frontiers.find("http://a.test/9")
    assert found is not None
    assert (found.url, found.depth, found.digest) == ("http://a.test/9", 1, page(9).digest)
    assert frontiers.find("http://a.test/1") is not None
    assert frontiers.find("http://a.test/4") is None, "it is owed"
    assert frontiers.find("http://a.test/5") is None


def _numbers(rows: Iterable[SettledRow]) -> list[int]:
    return [int(row.url.removeprefix("http://a.test/")) for row in rows]


def test_links_are_exchanged_with_other_shards(open_frontier: Open) -> None:
    frontier = open_frontier()
    sent = [OutboxLink(seq, 1, link(seq, via=("http://b.test/",))) for seq in (1, 2, 3)]
    adopted = link(9, attempts=1, status=503)
    frontier.commit(
        Batch(queued=[link(4), link(5), adopted], outputs=[ShardOutput(foreign=sent, transferred=[4])]), 1.0
    )
    assert list(frontier.outbox()) == sent
    assert [one.url for one in frontier.owed()] == [link(5).url, link(9).url]
    assert next(one for one in frontier.owed() if one.id == 9) == adopted
    assert frontier.tally().queued == 2
    frontier.commit(Batch(outputs=[ShardOutput(foreign=[sent[1]], acknowledged=[1, 3, 77])]), 2.0)
    frontier.close()
    assert list(open_frontier().outbox()) == [sent[1]]


def test_a_queued_url_is_owed_until_it_settles(open_frontier: Open) -> None:
    frontier = open_frontier()
    frontier.commit(Batch(queued=[link(1), link(2, via=("http://a.test/old",))]), 1.0)
    frontier.commit(Batch(settled=[page(1)]), 2.0)
    frontier.close()
    again = open_frontier()
    assert list(again.owed()) == [link(2, via=("http://a.test/old",))]
    assert sorted(again.urls()) == ["http://a.test/1", "http://a.test/2"]
    assert again.next_id() == 3


def test_a_url_may_be_queued_and_settled_in_one_batch(open_frontier: Open) -> None:
    frontier = open_frontier()
    frontier.commit(Batch(queued=[link(1)], settled=[Settled(1, link(1).url, Reason.ROBOTS)]), 1.0)
    assert list(frontier.owed()) == []
    (row,) = frontier.settled()
    assert (row.reason, row.status, row.attempts, row.part, row.depth) == (Reason.ROBOTS, 0, 0, "", 1)


def test_a_settled_row_has_all_fields_of_its_settlement(open_frontier: Open) -> None:
    frontier = open_frontier()
    end = Settled(1, link(1).url, Reason.OK, 200, 2, 7, b"d" * 16, "part", 3, "length", 4, "text/html", 0.5, "detail")
    frontier.commit(Batch(queued=[link(1)], settled=[end]), 1234.5)
    frontier.close()
    (row,) = open_frontier().settled()
    assert (row.id, row.url, row.depth, row.reason, row.status, row.attempts) == (1, link(1).url, 1, Reason.OK, 200, 2)
    assert (row.part, row.position, row.size, row.digest, row.truncated) == ("part", 3, 7, b"d" * 16, "length")
    assert (row.content_type, row.settled_at, row.seconds, row.detail) == ("text/html", 1234.5, 0.5, "detail")


def test_attempts_survive_a_restart(open_frontier: Open) -> None:
    frontier = open_frontier()
    frontier.commit(Batch(queued=[link(1)], retries=[link(1, attempts=2, status=503)]), 1.0)
    frontier.close()
    (owed,) = open_frontier().owed()
    assert (owed.attempts, owed.status) == (2, 503)


def test_the_latest_note_counts_and_the_robots_txt_is_kept(open_frontier: Open) -> None:
    frontier = open_frontier()
    frontier.commit(Batch(notes=[HostNote("http://a.test", "Disallow: /", 10.0, 2.0)]), 1.0)
    frontier.commit(Batch(notes=[HostNote("http://a.test", None, 10.0, 2.0, rest_until=99.0, joined=True)]), 2.0)
    frontier.close()
    assert list(open_frontier().notes()) == [HostNote("http://a.test", "Disallow: /", 10.0, 2.0, 99.0, True)]


def test_the_tally_counts_committed_rows(open_frontier: Open) -> None:
    frontier = open_frontier()
    missing = Settled(2, link(2).url, Reason.CLIENT_ERROR, 404, 1, digest=term(link(2).url, 404))
    down = Settled(3, link(3).url, Reason.HOST_DOWN, 503, 1)
    never = Settled(4, link(4).url, Reason.ROBOTS)
    batch = Batch(
        [link(n) for n in range(1, 6)], [page(1, size=5), missing, down, never], [link(3, attempts=1)], beyond=[link(9)]
    )
    frontier.commit(batch, 1.0)
    frontier.close()
    tally = open_frontier().tally()
    assert (tally.queued, tally.settled, tally.owed, tally.urls, tally.pages, tally.bytes) == (5, 4, 1, 3, 1, 5)
    assert tally.statuses == {"200": 1, "404": 1, "503": 1}
    assert tally.reasons == {"ok": 1, "client_error": 1, "host_down": 1, "robots": 1}
    assert (tally.retries, tally.too_deep) == (1, 1)
    terms = [term(link(1).url, 200, b"xxxxx"), term(link(2).url, 404), term(link(3).url, 503)]
    assert tally.digest == in_hex(add(0, terms))


def beyond(number: int, depth: int = 4) -> Link:
    return replace(link(number), id=number, depth=depth, via=("http://a.test/from",))


def test_urls_beyond_the_depth_limit_are_kept_once_and_removed_when_admitted(open_frontier: Open) -> None:
    frontier = open_frontier()
    frontier.commit(Batch(queued=[link(1)], beyond=[beyond(1), beyond(2), beyond(3), beyond(2)]), 1.0)
    frontier.commit(
        Batch(beyond=[beyond(3, 3), beyond(2, 9), beyond(4)], outputs=[ShardOutput(handed=[link(4).url, "x"])]), 2.0
    )
    frontier.close()
    frontier = open_frontier()
    beyond_limit = [(one.id, one.url, one.depth, one.via) for one in frontier.beyond()]
    via = ("http://a.test/from",)
    assert beyond_limit == [(0, link(2).url, 4, via), (0, link(3).url, 3, via)], "4 belongs to another shard now"
    assert (frontier.tally().queued, frontier.tally().too_deep) == (1, 2)
    frontier.commit(Batch(queued=[link(2)], undetermined=[link(5), link(3)], beyond=[beyond(3)]), 3.0)
    assert (list(frontier.beyond()), frontier.tally().too_deep, frontier.tally().queued) == ([], 0, 4)


def test_a_larger_limit_admits_what_is_within_it(open_frontier: Open) -> None:
    frontier = open_frontier()
    many = [beyond(number, 2 + number % 3) for number in range(2, 2500)]
    frontier.commit(Batch(queued=[link(1)], beyond=many), 1.0)
    assert frontier.admit_within(1) == 0
    assert frontier.admit_within(3) == len([one for one in many if one.depth <= 3])
    frontier.close()
    frontier = open_frontier()
    tally = frontier.tally()
    assert (tally.queued + tally.too_deep, {one.depth for one in frontier.beyond()}) == (2499, {4})
    owed = list(frontier.owed())
    assert [(one.url, one.via, one.attempts) for one in owed[:2]] == [
        (link(1).url, (), 0),
        (link(3).url, ("http://a.test/from",), 0),
    ]
    assert len({one.id for one in owed}) == len(owed) == tally.queued
    assert [one.url for one in frontier.pending("http://a.test", 1, 1)] == [link(3).url]
    assert frontier.admit_within(None) == tally.too_deep
    assert (list(frontier.beyond()), frontier.tally().too_deep, frontier.tally().owed) == ([], 0, 2499)


def test_named_yields_the_positions_of_settled_rows(open_frontier: Open) -> None:
    frontier = open_frontier()
    ends = [page(1, "p", 1), page(2, "p", 9), page(3, "q", 1)]
    frontier.commit(Batch([link(1), link(2), link(3)], ends), 1.0)
    assert frontier.named(["p", "r"]) == {"p": {1: link(1).url, 9: link(2).url}, "r": {}}
    assert frontier.named([]) == {}
    assert frontier.records() == {"p": 2, "q": 1}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=12))
def test_the_memory_and_file_frontiers_agree_on_any_history(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[int, int, bool]]
) -> None:
    memory = MemoryFrontier()
    file = SqliteFrontier(tmp_path_factory.mktemp("f") / "f.sqlite")
    number, open_links = 0, []
    for new, done, retry in history:
        batch = Batch()
        for _ in range(new):
            number += 1
            batch.queued.append(link(number))
            open_links.append(number)
        for _ in range(min(done, len(open_links))):
            batch.settled.append(page(open_links.pop(0), position=number))
        if retry and open_links:
            batch.retries.append(link(open_links[0], attempts=1, status=500))
        memory.commit(batch, float(number))
        file.commit(batch, float(number))
    assert list(memory.owed()) == list(file.owed())
    assert list(memory.settled()) == list(file.settled())
    assert memory.tally() == file.tally()
    assert memory.next_id() == file.next_id()
    file.close()


def on(host: str, number: int, **facts: object) -> Link:
    return Link(number, f"http://{host}.test/{number}", 1, **facts)  # type: ignore[arg-type]


def test_pending_returns_a_window_of_the_links_owed_by_a_host(open_frontier: Open) -> None:
    frontier = open_frontier()
    frontier.commit(Batch(queued=[on("ab"[number % 2], number) for number in range(1, 11)]), 1.0)
    frontier.commit(Batch(settled=[Settled(4, on("a", 4).url, Reason.ROBOTS)]), 2.0)
    assert [one.id for one in frontier.pending("http://a.test", 0, 3)] == [2, 6, 8]
    assert [one.id for one in frontier.pending("http://a.test", 8, 3)] == [10]
    assert frontier.pending("http://b.test", 7, 1) == [on("b", 9)]
    assert frontier.pending("http://c.test", 0, 3) == []


def test_links_owed_another_attempt_are_separate_from_those_never_tried(open_frontier: Open) -> None:
    frontier = open_frontier()
    tried = on("a", 2, attempts=1, status=503)
    frontier.commit(Batch(queued=[on("a", 1), on("a", 2), on("b", 3)], retries=[tried]), 1.0)
    assert frontier.pending("http://a.test", 0, 9) == [on("a", 1)]
    assert frontier.retried("http://a.test") == [tried]
    assert frontier.retried("http://b.test") == []


def test_hosts_that_owe_links_are_returned_in_batches(open_frontier: Open) -> None:
    frontier = open_frontier()
    frontier.commit(Batch(queued=[on(f"h{number % 7}", number) for number in range(1, 50)]), 1.0)
    frontier.commit(Batch(settled=[Settled(n, on("h3", n).url, Reason.OK) for n in range(3, 50, 7)]), 2.0)
    found: list[str] = []
    while piece := frontier.hosts(found[-1] if found else "", 2):
        found += piece
    assert sorted(found) == [f"http://h{number}.test" for number in (0, 1, 2, 4, 5, 6)]


def test_a_resume_reads_its_starting_state_at_once(open_frontier: Open) -> None:
    frontier = open_frontier()
    assert frontier.left() == Left(0, 0, (), ())
    seeds = [Link(1, "http://a.test/", 0), Link(2, "http://b.test/", 0)]
    tried = [on("b", 3, attempts=1), on("b", 4, attempts=2)]
    notes = [HostNote("http://a.test"), HostNote("http://b.test", joined=True)]
    batch = Batch([*seeds, on("b", 3), on("b", 4), on("a", 5)], retries=tried, notes=notes)
    batch.settled = [Settled(1, seeds[0].url, Reason.OK)]
    frontier.commit(batch, 1.0)
    assert frontier.left() == Left(1, 2, ("http://b.test",), ("http://b.test",))


def test_the_note_of_one_host_can_be_read(open_frontier: Open) -> None:
    frontier = open_frontier()
    frontier.commit(Batch(notes=[HostNote("http://a.test", "x", 10.0, 2.0, joined=True)]), 1.0)
    frontier.commit(Batch(notes=[HostNote("http://a.test", None, 10.0, 3.0)]), 1.0)
    assert frontier.note("http://a.test") == HostNote("http://a.test", "x", 10.0, 3.0, joined=True)
    assert frontier.note("http://b.test") is None


def test_the_last_budget_of_each_pattern_of_a_host_is_kept(open_frontier: Open) -> None:
    frontier = open_frontier()
    exam = Budget("http://a.test", 7, 950, 150, b"\x01\xff", b"\x80", "")
    stopped = Budget("http://a.test", 8, 300, stopped="/x/0: the same")
    frontier.commit(Batch(budgets=[Budget("http://a.test", 7, 10), Budget("http://b.test", 0, 5)]), 1.0)
    frontier.commit(Batch(budgets=[Budget("http://a.test", 7, 20), exam, stopped]), 2.0)
    for again in (frontier, open_frontier()):
        assert sorted(again.budgets("http://a.test"), key=lambda one: one.pattern) == [exam, stopped]
        assert again.budgets("http://c.test") == ()
    batch = Batch(
        refill_requests=[RefillRequest("http://b.test", 0, 2, first=True), RefillRequest("http://b.test", 0, 2)]
    )
    first, second = answers(frontier, batch, [], 0.0)
    assert first == Refill("http://b.test", (), 0, False, budgets=(Budget("http://b.test", 0, 5),))
    assert second == Refill("http://b.test", (), 0, False)


def test_possibly_known_links_are_admitted_if_they_are_new(open_frontier: Open) -> None:
    frontier = open_frontier()
    frontier.commit(Batch(queued=[on("a", 1)]), 1.0)
    again = Link(3, on("a", 1).url, 2)
    twice = Link(4, on("a", 2).url, 2)
    new = frontier.commit(Batch(undetermined=[on("a", 2), again, twice, on("a", 5)]), 2.0)
    assert new == [on("a", 2), on("a", 5)]
    assert frontier.tally().queued == 3
    assert list(frontier.owed()) == [on("a", 1), on("a", 2), on("a", 5)]
    assert frontier.next_id() == 6


def test_a_question_is_answered_with_the_state_of_its_own_commit(open_frontier: Open) -> None:
    frontier = open_frontier()
    asks = [RefillRequest("http://a.test", 0, 2, first=True), RefillRequest("http://b.test", 4, 2)]
    batch = Batch([on("a", 1), on("a", 2), on("a", 3)], refill_requests=asks)
    batch.undetermined = [on("b", 5), Link(6, on("a", 1).url, 0)]
    batch.search = HostScan("", 5)
    batch.notes = [HostNote("http://a.test", "x", robots_until=1000.0, rest_until=500.0)]
    judged, a, b, found = answers(frontier, batch, frontier.commit(batch, 1.0), -100.0)
    assert judged == DedupResult((on("b", 5),), known=1, known_seeds=1)
    note = HostNote("http://a.test", "x", robots_until=900.0, rest_until=400.0)
    assert a == Refill("http://a.test", (on("a", 1), on("a", 2)), upto=2, more=True, note=note)
    assert b == Refill("http://b.test", (on("b", 5),), upto=5, more=False)
    assert isinstance(found, HostScanResult)
    assert (sorted(found.hosts), found.end) == (["http://a.test", "http://b.test"], True)


# ---- the file --------------------------------------------------------------------------------------------------------


def test_a_batch_that_fails_is_rolled_back(tmp_path: Path) -> None:
    frontier = SqliteFrontier(tmp_path / "f.sqlite")
    frontier.commit(Batch(queued=[link(1)]), 1.0)
    with pytest.raises(StorageError):
        frontier.commit(Batch(queued=[link(2), link(1)]), 2.0)
    assert [owed.id for owed in frontier.owed()] == [1]
    assert frontier.tally().queued == 1


def test_a_reader_sees_a_live_frontier_and_never_writes(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    writer = SqliteFrontier(path)
    reader = SqliteFrontier(path, read_only=True)
    writer.commit(Batch(queued=[link(1)]), 1.0)
    assert reader.tally().queued == 1
    with pytest.raises(StorageError):
        reader.commit(Batch(queued=[link(2)]), 2.0)


def test_a_file_that_is_not_a_database_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(Corrupt, match="damaged") as caught:
        SqliteFrontier(path)
    assert "\n" not in str(caught.value)


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE url (other TEXT)")
    with pytest.raises(Corrupt, match="not made by this program"):
        SqliteFrontier(path)


def test_cookies_are_kept_by_site_until_none_is_left(open_frontier: Open) -> None:
    def keep(*notes: CookieNote) -> list[CookieNote]:
        batch = Batch()
        batch.add(Actions(cookies=list(notes), cookies_dropped=2))
        open_frontier().commit(batch, at=1.0)
        return sorted(open_frontier().cookies(), key=lambda note: note.home)

    ends, stays = Cookie("/", "n", "v", 7.5), Cookie("/x", "", "caf\xe9")
    first, other = CookieNote("https://a.test", (ends, stays)), CookieNote("https://.b.test", (stays,))
    assert keep(other, first) == [other, first]
    changed = CookieNote("https://a.test", (stays,))
    assert keep(first, changed) == [other, changed]
    assert keep(CookieNote("https://.b.test", ())) == [changed]
    assert open_frontier().tally().cookies_dropped == 6


def test_any_text_is_stored_and_exported_without_loss(open_frontier: Open) -> None:
    texts = ["\0nul\0", "\ud800 lone \udfff", "caf\xe9 \x9b", "plain", *all_of_them()]
    ends = [replace(page(n), content_type=text, detail=text) for n, text in enumerate(texts, 1)]
    frontier = open_frontier()
    frontier.commit(Batch(queued=[link(n) for n in range(1, len(texts) + 1)], settled=ends), at=1.0)
    kept = list(open_frontier().settled())
    assert [(row.content_type, row.detail) for row in kept] == [(text, text) for text in texts]
    exported = [json.loads(line) for line in as_jsonl(map(columns_of, kept))]
    assert [(row["content_type"], row["detail"]) for row in exported] == [(text, text) for text in texts]
    "".join(as_csv(map(columns_of, kept), list(FIELDS))).encode()


def sealed_rows(path: Path) -> dict[str, int]:
    """How many rows each table of a file has; all of them must have the right checksum."""
    with closing(sqlite3.connect(path)) as connection:
        add_checksum(connection)
        counts = {}
        for table, columns in COLUMNS.items():
            query = f"SELECT count(*), sum(checksum IS NOT row_checksum({', '.join(columns)})) FROM {table}"
            counts[table], wrong = connection.execute(query).fetchone()
            assert not wrong, table
    return counts


def everything() -> list[Batch]:
    """Batches that write each kind of row, and write it again."""
    note, budget = HostNote("http://a.test", "Disallow: /", 10, 2, 1.5), Budget("http://a.test", 7, 3, 5, b"t", b"w")
    jar = CookieNote("http://a.test", (Cookie("/", "n", "v", 9.0),))
    cut = replace(page(1), cut=3, unread=ParseSkipped.CPU_LIMIT, seconds=1, detail="\udcff", content_type="a\udcff")
    foreign = [OutboxLink(seq, 1, link(seq, via=("http://b.test/",))) for seq in (1, 2)]
    return [
        Batch(queued=[link(1), link(2, attempts=1, status=503)], undetermined=[link(3, via=("http://c.test/",))]),
        Batch(retries=[link(3, attempts=2, status=500)], notes=[note], budgets=[budget], cookies={jar.home: jar}),
        Batch(settled=[cut], notes=[replace(note, robots=None, joined=True)], budgets=[replace(budget, pages=4)]),
        Batch(
            outputs=[ShardOutput(foreign=foreign, transferred=[2])],
            cookies={jar.home: replace(jar, cookies=jar.cookies * 2)},
        ),
    ]


def test_each_row_has_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    with closing(SqliteFrontier(path)) as frontier:
        for batch in everything():
            frontier.commit(batch, 2)
            counts = sealed_rows(path)
        (row,) = frontier.settled()
        assert (row.cut, row.unread) == (3, "effort")
    assert counts == {"url": 2, "host": 1, "outbox": 2, "budget": 1, "cookie": 1, "beyond": 0, "meta": 2}


def test_every_statement_that_writes_a_row_sets_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    with closing(SqliteFrontier(path)) as frontier:
        for batch in everything():
            frontier.commit(batch, 2.0)
    with closing(open_file(path)) as connection:
        connection.execute("UPDATE url SET reason = NULL, attempts = 0, settled_at = NULL WHERE reason NOTNULL")
        connection.execute("UPDATE host SET delay = delay + 1")
        connection.execute("INSERT OR REPLACE INTO budget (host, pattern, spent) VALUES ('http://a.test', 7, 'other')")
        connection.execute("INSERT INTO meta (key, value) VALUES ('k', 'v') ON CONFLICT DO NOTHING")
        connection.execute("INSERT INTO url (url, host, depth) VALUES ('http://d.test/', 5, 1)")
        connection.execute("DELETE FROM outbox WHERE seq = 1")
    assert sealed_rows(path) == {"url": 3, "host": 1, "outbox": 1, "budget": 1, "cookie": 1, "beyond": 0, "meta": 3}


def test_a_file_of_format_3_is_upgraded_at_the_first_write(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    old = Path(__file__).parents[1] / "golden" / "format-3" / "frontier.sql"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(old.read_text())
        connection.execute("PRAGMA journal_mode=WAL")
    before = path.read_bytes()
    with closing(SqliteFrontier(path, read_only=True)) as frontier:
        rows, owed = list(frontier.settled()), list(frontier.owed())
        assert (len(rows), len(owed), frontier.tally().settled) == (2, 68, 2)
    assert path.read_bytes() == before
    for _ in range(2):
        with closing(SqliteFrontier(path)) as frontier:
            assert (list(frontier.settled()), list(frontier.owed())) == (rows, owed)
        counts = sealed_rows(path)
        assert (counts.pop("url"), counts.pop("meta")) == (70, 2), "the tally, and the one commit that it did not count"
        assert not any(counts.values())


# ---- reopening -------------------------------------------------------------------------------------------------------

TROUBLED = frozenset({"connect", "server_error", "truncated:time", "links_cut", "unread:lost"})


def ends() -> list[Settled]:
    """One row of each kind: retried or not, with and without a page."""
    cut = replace(page(6, position=3, size=9), truncated="time")
    reading = replace(page(7, position=4), unread=ParseSkipped.LOST, detail=not_taken(ParseSkipped.LOST, 0))
    too_many = replace(page(8, position=5), cut=12, detail=not_taken(None, 12))
    return [
        replace(page(1), seed=True),
        Settled(2, link(2).url, Reason.CONNECT, 0, 3, detail="refused"),
        Settled(3, link(3).url, Reason.SERVER_ERROR, 503, 3, digest=term(link(3).url, 503)),
        Settled(4, link(4).url, Reason.CLIENT_ERROR, 404, 1, digest=term(link(4).url, 404)),
        Settled(5, link(5).url, Reason.ROBOTS),
        cut,
        reading,
        too_many,
        replace(page(9, position=6, size=2), truncated="length"),
    ]


def test_reopening_leaves_the_state_without_the_reopened_urls(open_frontier: Open, tmp_path: Path) -> None:
    frontier = open_frontier()
    frontier.commit(Batch(queued=[link(n) for n in range(1, 11)]), 1.0)
    frontier.commit(Batch(settled=ends()), 2.0)
    found = frontier.reopen(TROUBLED)
    assert dict(found.counts) == {"connect": 1, "server_error": 1, "truncated": 1, "unread": 1, "links_cut": 1}
    assert (found.parts, sorted(found.ids)) == ({"p"}, [2, 3, 6, 7, 8])
    frontier.close()
    again = open_frontier()
    without = SqliteFrontier(tmp_path / "without.sqlite")
    without.commit(Batch(queued=[link(n) for n in range(1, 11)]), 1.0)
    without.commit(Batch(settled=[end for end in ends() if end.id not in found.ids]), 2.0)
    assert again.tally() == without.tally()
    assert list(again.settled()) == list(without.settled())
    assert list(again.owed()) == list(without.owed())
    assert again.left() == without.left()
    assert again.records() == without.records()
    assert again.pending("http://a.test", 0, 9) == without.pending("http://a.test", 0, 9)
    assert again.pending("http://a.test", 3, 2) == [link(6), link(7)], "in the order of their admission"
    assert not again.reopen(TROUBLED).ids, "they are owed now"
    without.close()


def test_reopened_urls_settle_again(open_frontier: Open) -> None:
    frontier = open_frontier()
    frontier.commit(Batch(queued=[link(1), link(2)]), 1.0)
    frontier.commit(Batch(settled=[page(1), Settled(2, link(2).url, Reason.CONNECT, 0, 3)]), 2.0)
    assert frontier.tally().conclude().ending is Ending.INCOMPLETE
    frontier.reopen(frozenset({"connect"}))
    assert (frontier.tally().owed, frontier.tally().reasons) == (1, {"ok": 1})
    frontier.commit(Batch(settled=[page(2, position=2)]), 3.0)
    tally = frontier.tally()
    assert (tally.urls, tally.pages, tally.reasons, tally.conclude().ending) == (2, 2, {"ok": 2}, Ending.COMPLETE)
    assert tally.digest == in_hex(add(0, [page(1).digest, page(2).digest]))


def test_a_host_that_owes_nothing_else_is_found_again(open_frontier: Open) -> None:
    frontier = open_frontier()
    frontier.commit(Batch(queued=[link(1)]), 1.0)
    frontier.commit(Batch(settled=[Settled(1, link(1).url, Reason.HOST_DOWN, 503, 2)]), 2.0)
    assert frontier.hosts("", 9) == []
    frontier.reopen(frozenset({"host_down"}))
    assert frontier.hosts("", 9) == ["http://a.test"]
    assert (frontier.left().retries, frontier.pending("http://a.test", 0, 9)) == (0, [link(1)]), (
        "its attempts start again"
    )


def test_reopening_resets_the_wait_for_an_unreachable_host(open_frontier: Open) -> None:
    frontier = open_frontier()
    note = HostNote("http://a.test", rest_until=9.0, heard=True, down_for=7200.0)
    frontier.commit(Batch(queued=[link(1)], notes=[note]), 1.0)
    frontier.commit(Batch(settled=[Settled(1, link(1).url, Reason.HOST_DOWN)]), 2.0)
    frontier.reopen(frozenset({"host_down"}))
    frontier.close()
    assert open_frontier().note("http://a.test") == replace(note, down_for=0.0), (
        "the hold that the host asked for is kept"
    )


def test_reopening_urls_forbidden_by_robots_txt_fetches_it_again(open_frontier: Open) -> None:
    frontier = open_frontier()
    notes = [HostNote(f"http://{name}.test", robots="Disallow: /", robots_until=9e9) for name in "ab"]
    links = [Link(1, "http://a.test/", 0), Link(2, "http://b.test/", 0)]
    frontier.commit(Batch(queued=links, notes=notes), 1.0)
    ends = [Settled(1, "http://a.test/", Reason.ROBOTS), Settled(2, "http://b.test/", Reason.CLIENT_ERROR)]
    frontier.commit(Batch(settled=ends), 1.0)
    frontier.reopen(frozenset({"seeds"}))
    assert {note.host: note.robots_until for note in frontier.notes()} == {"http://a.test": 0.0, "http://b.test": 9e9}


def test_reopening_gives_pages_back_to_the_budget_of_the_host(open_frontier: Open) -> None:
    frontier = open_frontier()
    host, other = "http://a.test", "http://b.test"
    budgets = [Budget(host, 0, 50), Budget(host, 7, 40, stopped="alike"), Budget(host, 8, 3), Budget(other, 0, 9)]
    frontier.commit(Batch(queued=[link(1), link(2), link(3)], budgets=budgets), 1.0)
    connect, never = (Settled(n, link(n).url, Reason.CONNECT, 0, tried) for n, tried in ((1, 3), (2, 0)))
    frontier.commit(Batch(settled=[connect, never, Settled(3, link(3).url, Reason.REPEATED_PAGES)]), 2.0)
    frontier.reopen(frozenset({"connect"}))
    assert set(frontier.budgets(host)) == {Budget(host, 0, 49), *budgets[1:3]}
    frontier.reopen(frozenset({"repeated_pages"}))
    assert set(frontier.budgets(host)) == {Budget(host, 0, 49), budgets[2]}
    assert frontier.budgets(other) == (budgets[3],)


def test_a_tally_of_an_earlier_version_counts_the_seeds_that_answered(tmp_path: Path) -> None:
    frontier = SqliteFrontier(tmp_path / "frontier.sqlite")
    seeds = [Link(n, f"http://a.test/{n}", 0) for n in (1, 2, 3)]
    frontier.commit(Batch(queued=[*seeds, link(4)]), 1.0)
    answers = [Settled(n, f"http://a.test/{n}", Reason.OK, status, 1) for n, status in ((1, 200), (2, 404), (3, 301))]
    frontier.commit(Batch(settled=[replace(one, seed=True) for one in answers]), 2.0)
    assert frontier.tally().seeds_answered == 2
    frontier.close()
    with sqlite3.connect(tmp_path / "frontier.sqlite") as connection:
        connection.execute(
            "UPDATE meta SET value = json_remove(value, '$.seeds_answered'), checksum = NULL WHERE key = 'tally'"
        )
    connection.close()
    reopened = SqliteFrontier(tmp_path / "frontier.sqlite", read_only=True)
    assert reopened.tally().seeds_answered == 2
    reopened.close()
    SqliteFrontier(tmp_path / "frontier.sqlite").close()
    with sqlite3.connect(tmp_path / "frontier.sqlite") as connection:
        (kept,) = connection.execute(
            "SELECT json_extract(value, '$.seeds_answered') FROM meta WHERE key = 'tally'"
        ).fetchone()
    connection.close()
    assert kept == 2, "seeds were not counted before the rows are moved"
