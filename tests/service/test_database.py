"""The database of the service: what it refuses, what it never does twice, what it forgets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.errors import Corrupt, StorageError
from crawler.service import database as module
from crawler.service.core.states import RunReason, RunState
from crawler.service.database import FILE, ServiceDatabase
from crawler.service.errors import Invalid
from crawler.service.identifiers import PATTERN, Identifiers
from crawler.service.records import RunLimits, RunRecord, TickRecord, Transition


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ServiceDatabase]:
    found = ServiceDatabase(tmp_path / FILE)
    yield found
    found.close()


def run(number: int, **fields: object) -> RunRecord:
    usual = {"job": "job_000000000000", "job_name": "one", "state": RunState.QUEUED, "directory": "runs/x"}
    return RunRecord(id=f"run_{number:012d}", created_at=float(number), **(usual | fields))  # type: ignore[arg-type]


def test_a_record_comes_back_as_it_was_and_is_found_by_its_columns(database: ServiceDatabase) -> None:
    one = run(1, summary={"pages": 3}, reason=RunReason.USER, limits=RunLimits(delay=2.0))
    with database.transaction():
        database.runs.put(one)
        database.runs.put(run(2, state=RunState.FAILED))
    assert database.runs.get(one.id) == one
    assert [found.id for found in database.runs.where(state=RunState.QUEUED, removed=False)] == [one.id]
    assert database.runs.count(state=RunState.FAILED) == 1
    assert [found.id for found in database.active_runs()] == [one.id]
    assert database.runs.last() == "run_000000000002"


def test_a_list_has_the_newest_first_and_goes_on_at_its_cursor(database: ServiceDatabase) -> None:
    with database.transaction():
        for number in range(5):
            database.runs.put(run(number))
    first = database.runs.page(None, 2)
    second = database.runs.page(first.next, 2)
    third = database.runs.page(second.next, 2)
    assert [[int(one.id[4:]) for one in page.items] for page in (first, second, third)] == [[4, 3], [2, 1], [0]]
    assert third.next is None
    with pytest.raises(Invalid, match="cursor"):
        database.runs.page("x' OR 1", 2)


def test_a_transaction_that_fails_leaves_nothing(database: ServiceDatabase) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction():
        database.runs.put(run(1))
        database.add_transition(Transition(run(1).id, RunState.QUEUED, None, 1.0))
        _ = 1 / 0
    assert database.runs.where() == [] and database.transitions(run(1).id) == []


def test_a_tick_has_one_row(database: ServiceDatabase) -> None:
    with database.transaction():
        assert not database.has_tick("sch_1", 60.0)
        database.add_tick(TickRecord("sch_1", 60.0, "run_1", None))
        assert database.has_tick("sch_1", 60.0)
        database.add_tick(TickRecord("sch_1", 120.0, None, RunReason.OVERLAP, 3))
    with pytest.raises(StorageError, match="UNIQUE"), database.transaction():
        database.add_tick(TickRecord("sch_1", 60.0, None, RunReason.CATCHUP))
    listed = database.ticks("sch_1", None, 1)
    assert listed.items == [TickRecord("sch_1", 120.0, None, RunReason.OVERLAP, 3)]
    assert listed.next is not None
    assert database.ticks("sch_1", float(listed.next), 1).items == [TickRecord("sch_1", 60.0, "run_1", None)]


def test_what_grows_without_end_is_trimmed(database: ServiceDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICKS", 3)
    monkeypatch.setattr(module, "MOST_RUNS", 2)
    with database.transaction():
        for number in range(6):
            database.add_tick(TickRecord("sch_1", float(number), None, RunReason.OVERLAP))
            database.runs.put(run(number, removed=number < 5))
            database.add_transition(Transition(run(number).id, RunState.QUEUED, None, 1.0))
        database.add_request("old", "f", "run_1", 0.0)
        database.add_request("new", "f", "run_2", 2 * module.DAY)
        database.trim(2 * module.DAY)
    assert [tick.due for tick in database.ticks("sch_1", None, 10).items] == [5.0, 4.0, 3.0]
    assert [int(one.id[4:]) for one in database.runs.where()] == [3, 4, 5]
    assert database.transitions(run(0).id) == [] and len(database.transitions(run(3).id)) == 1
    assert database.request("old") is None and database.request("new") == ("f", "run_2")


def test_a_damaged_file_is_refused_with_a_line_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / FILE
    database = ServiceDatabase(path)
    with database.transaction():
        for number in range(500):
            database.runs.put(run(number))
    database.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 8] = b"\xff" * (4096 * 5)
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=r"damaged.*serve --data \S+ --rebuild") as caught:
        ServiceDatabase(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(b"this is no database at all, whatever its name is" * 100)
    with pytest.raises(Corrupt, match="--rebuild"):
        ServiceDatabase(path)


@pytest.mark.parametrize("body", ["'{}'", "'x'", "CAST(x'7bff7d' AS TEXT)"])
def test_a_row_that_holds_something_else_is_damage(tmp_path: Path, body: str) -> None:
    """SQLite itself finds nothing wrong with it."""
    path = tmp_path / FILE
    database = ServiceDatabase(path)
    with database.transaction():
        database.runs.put(run(1))
        database._execute(f"UPDATE run SET body = {body}")
    with pytest.raises(Corrupt, match="--rebuild"):
        database.runs.page(None, 10)
    database.close()
    with pytest.raises(Corrupt, match=r"damaged.*serve --data \S+ --rebuild") as caught:
        ServiceDatabase(path)
    assert str(caught.value).isprintable()


def test_a_file_of_another_program_or_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    other = sqlite3.connect(path)
    other.executescript("PRAGMA application_id = 7; CREATE TABLE theirs (x);")
    other.close()
    with pytest.raises(StorageError, match="belongs to another program"):
        ServiceDatabase(path)
    path.unlink()
    ServiceDatabase(path).close()
    later = sqlite3.connect(path)
    later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(StorageError, match="newer version"):
        ServiceDatabase(path)


def test_ids_sort_by_time_also_where_the_clock_is_set_back() -> None:
    ids = Identifiers(dice=lambda bits: 0)
    made = [ids.make("run", now) for now in (1000.0, 1000.0, 2000.0, 500.0)]
    assert made == sorted(set(made)) and all(PATTERN.fullmatch(one) for one in made)
    later = Identifiers(made[-1]).make("job", 0.0)
    assert later.partition("_")[2] > made[-1].partition("_")[2]
