"""What files show of a crawl's durability, and which commits they do not show."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from crawler.compare.durability import Durability, FileWatch, Look, commits, faults, unseen, unsynced


def test_commits_are_counted_by_their_times() -> None:
    found = commits({"/a": 1.0, "/b": 1.0, "/c": 1.5, "/d": 4.0})
    assert (found.number, found.largest, found.longest) == (3, 2, 2.5)
    assert commits({}) == (0, 0, 0.0)


def test_a_commit_that_no_file_shows_is_found() -> None:
    stored = {"/a": 10.0, "/b": 11.0, "/c": 12.0}
    idle = [Look(at=at / 5, written_at=9.0) for at in range(45, 75)]
    assert unseen(stored, idle) == (3, 3)
    assert unseen(stored, [Look(look.at, look.at) for look in idle]) == (0, 3)
    assert unseen(stored, [Look(look.at, min(look.at, 11.5)) for look in idle]) == (1, 3)
    assert unseen(stored, []) == (0, 0), "nobody looked"
    assert faults(stored, Durability(looks=tuple(idle)), 6) == [
        "3 of 3 commits are stated for times at which no file was written"
    ]
    slow = [Look(look.at, min(look.at, 11.5)) for look in idle]
    assert faults(stored, Durability(looks=tuple(slow)), 6) == [], "a slow disk is no fault"


def test_too_much_at_stake_is_a_fault() -> None:
    safe = Durability(unsynced=0)
    assert faults({f"/{n}": 1.0 for n in range(76)}, safe, 6) == []
    assert faults({f"/{n}": 1.0 for n in range(77)}, safe, 6) == ["77 pages in one commit, where a kill may cost 76"]
    assert faults({}, Durability(unsynced=4096), 6) == ["4096 bytes were left to be synced"]
    assert faults({}, Durability(other_journal=("0001-000.sqlite",)), 6) == ["0001-000.sqlite is not in WAL mode"]
    assert faults({}, Durability(), 6) == [], "a kernel that does not tell is no fault"


@pytest.mark.parametrize(("journal", "synchronous"), [("WAL", "NORMAL"), ("WAL", "OFF"), ("DELETE", "FULL")])
def test_files_show_how_they_were_written(tmp_path: Path, journal: str, synchronous: str) -> None:
    watch = FileWatch(tmp_path)
    watch.look()
    with closing(sqlite3.connect(tmp_path / "part.sqlite", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("CREATE TABLE page (body)")
        connection.executemany("INSERT INTO page VALUES (?)", [(os.urandom(8000),) for _ in range(20)])
        watch.look()
    seen = watch.end()
    assert seen.looks[0].written_at == 0 < seen.looks[1].written_at
    assert seen.other_journal == (() if journal == "WAL" else ("part.sqlite",))
    if seen.unsynced is not None:
        assert bool(seen.unsynced) == (synchronous == "OFF")


def test_where_the_kernel_does_not_tell_it_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.compare.durability.CACHESTAT", 100_000)
    (tmp_path / "part.sqlite").write_bytes(b"x" * 4096)
    assert unsynced([tmp_path / "part.sqlite"]) is None
