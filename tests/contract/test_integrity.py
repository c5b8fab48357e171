"""Damage to a crawl is detected by every reader, and repaired or refused in one line."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from crawler.core.messages import Budget, Cookie, CookieNote, HostNote, Link, OutboxLink, Settled, ShardOutput
from crawler.core.page.digest import term
from crawler.core.reasons import Reason
from crawler.errors import Corrupt, CrawlerError
from crawler.settings import Settings
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier import commits
from crawler.storage.frontier.base import Batch
from crawler.storage.frontier.schema import COLUMNS
from crawler.storage.manifest import MANIFEST
from crawler.storage.opening import frontier_path
from crawler.storage.pages.base import Page
from crawler.storage.repair import repair
from crawler.storage.resharding import ensure_layout
from crawler.storage.verify import audit
from tests.flips import READERS, Case, content, damage

HOST = "http://a.test"
PAGES = 12
LINKS = b"".join(f'<a href="/{number}">x</a>'.encode() for number in range(PAGES + 6))


def make(path: Path, store: str = "sqlite") -> Path:
    """A crawl that was stopped, with pages, owed links and one row of every other kind."""
    settings = Settings(seeds=(f"{HOST}/0",), store=store, robots=False)
    with closing(CrawlDirectory.create(path, settings, demo=False, fresh=False)) as directory:
        ensure_layout(directory, settings, 1)
        with closing(directory.frontier()) as frontier:
            run = directory.begin_run(settings, frontier)
            writer = directory.store().writer(f"{run:04d}-000")
            for number in range(PAGES):
                frontier.commit(_batch(number, writer.put(_page(number)), writer.part), 1.7e9 + number)
                writer.flush()
            frontier.commit(_others(), 1.8e9)
            writer.close()
    return path


def _page(number: int) -> Page:
    body = f"<title>{number}</title>".encode() * 40 + LINKS
    url = f"{HOST}/{number}"
    return Page(url, 200, (("a", "b"),), 1.7e9, 0.1, "text/html", "utf-8", term(url, 200, body), body)


def _batch(number: int, position: int, part: str) -> Batch:
    page = _page(number)
    end = Settled(
        number + 1,
        page.url,
        Reason.OK,
        200,
        1,
        len(page.body),
        page.digest,
        part,
        position,
        content_type="text/html",
        seed=not number,
    )
    return Batch(queued=[Link(number + 1, page.url, min(number, 1))], settled=[end])


def _others() -> Batch:
    left = [Link(PAGES + 1 + number, f"{HOST}/{PAGES + number}", 1) for number in range(6)]
    gone = Settled(PAGES + 6, left[5].url, Reason.CLIENT_ERROR, 404, 1, digest=term(left[5].url, 404))
    return Batch(
        queued=left,
        settled=[gone],
        notes=[HostNote(HOST, "User-agent: *\nDisallow: /x", 1.9e9, 1.0)],
        budgets=[Budget(HOST, 7, 3)],
        cookies={HOST: CookieNote(HOST, (Cookie("/", "n", "v"),))},
        outputs=[ShardOutput(foreign=[OutboxLink(1, 0, Link(0, f"{HOST}/0", 1))])],
    )


def run(command: str, path: Path) -> tuple[int, list[str]]:
    """A command's exit code and its lines on stderr."""
    ended = subprocess.run(
        [sys.executable, "-m", "crawler", command, str(path)], capture_output=True, text=True, timeout=60
    )
    return ended.returncode, ended.stderr.splitlines()


def wrong(path: Path) -> list[str]:
    """What verify finds."""
    return audit(CrawlDirectory.open_readonly(path)).problems


def mended(path: Path) -> None:
    """Repair; then verify finds nothing, a second repair changes nothing, and a run can start."""
    directory, lost = CrawlDirectory.rescue(path)
    with closing(directory):
        assert repair(directory, lost).rebuilt
        assert wrong(path) == []
        assert not repair(directory).rebuilt
        directory.check_to_write()


def sql(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(frontier_path(path, 0))) as connection, connection:
        assert connection.execute(statement).rowcount == 1


def test_an_intact_crawl_has_no_findings(tmp_path: Path) -> None:
    path = make(tmp_path / "c")
    assert wrong(path) == []
    with closing(CrawlDirectory.open(path)) as directory:
        directory.check_to_write()
        assert not repair(directory).rebuilt


CHANGES = [
    "UPDATE url SET url = url || 'x' WHERE id = 3",
    f"UPDATE url SET url = url || 'x' WHERE id = {PAGES + 2}",
    "UPDATE url SET depth = depth + 1 WHERE id = 2",
    "UPDATE url SET seconds = seconds + 1e-9 WHERE id = 2",
    "UPDATE url SET detail = 'other' WHERE id = 2",
    "UPDATE url SET unread = 'effort' WHERE id = 2",
    "UPDATE url SET digest = CAST(digest AS TEXT) WHERE id = 2",
    "UPDATE url SET checksum = NULL WHERE id = 2",
    "UPDATE url SET reason = 'oj' WHERE id = 2",
    f"UPDATE url SET attempts = 1 WHERE id = {PAGES + 2}",
    "UPDATE host SET robots = 'User-agent: *'",
    "UPDATE host SET rest_until = 5e9",
    "UPDATE outbox SET shard = 1",
    "UPDATE budget SET spent = replace(spent, '3', '4')",
    "UPDATE cookie SET cookies = replace(cookies, 'v', 'w')",
    """UPDATE meta SET value = replace(value, '"retries":0', '"retries":1') WHERE key = 'tally'""",
    f"DELETE FROM url WHERE id = {PAGES + 2}",
    "DELETE FROM url WHERE id = 2",
]


@pytest.mark.parametrize("change", CHANGES)
def test_each_changed_or_missing_row_is_found_refused_and_repaired(tmp_path: Path, change: str) -> None:
    path = make(tmp_path / "c")
    sql(path, change)
    assert wrong(path)
    with closing(CrawlDirectory.open(path)) as directory, pytest.raises(Corrupt, match="repair") as refused:
        directory.check_to_write()
    assert "\n" not in str(refused.value)
    mended(path)
    with closing(CrawlDirectory.open_readonly(path).open_frontiers()) as frontier:
        assert {row.url for row in frontier.settled()} >= {f"{HOST}/{number}" for number in range(PAGES)}
        urls = {f"{HOST}/{number}" for number in range(PAGES + 6)}
        assert set(frontier.urls()) == urls, "lost links are recovered and none is invented"


def test_a_resume_that_would_never_end_is_refused_with_one_line(tmp_path: Path) -> None:
    path = make(tmp_path / "c")
    sql(path, f"DELETE FROM url WHERE id = {PAGES + 2}")
    code, (line,) = run("resume", path)
    assert code == 3 and "4 URLs are owed, but the tally says 5" in line and "repair" in line


def test_every_reader_reports_a_damaged_row_in_one_line(tmp_path: Path) -> None:
    path = make(tmp_path / "c")
    sql(path, "UPDATE url SET reason = 'oj' WHERE id = 2")
    code, (line,) = run("export", path)
    assert code == 3 and "row 2 of its URLs is not valid" in line and "repair" in line
    code, lines = run("verify", path)
    assert code == 3 and len(lines) == 1


@pytest.mark.parametrize("has_header", [False, True])
def test_an_empty_part_left_by_a_kill_is_no_damage(tmp_path: Path, has_header: bool) -> None:
    path = make(tmp_path / "c")
    part = path / "parts" / "0009-000.sqlite"
    part.touch()
    if has_header:
        with closing(sqlite3.connect(part)) as connection:
            connection.execute("PRAGMA user_version = 1")
    assert wrong(path), "an empty part that its writer closed is damage"
    part.with_suffix(".lock").touch()
    assert wrong(path) == []


def test_a_message_that_quotes_a_damaged_schema_stays_on_one_line(tmp_path: Path) -> None:
    path = make(tmp_path / "c")
    with closing(sqlite3.connect(next(path.glob("shard-*/frontier.sqlite")))) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'url'", ("CREATE TABLE url ('\nx)",))
    with pytest.raises(CrawlerError, match="damaged") as caught:
        CrawlDirectory.open_readonly(path).tally()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["UPDATE page SET headers = '[1]'", "UPDATE page SET fetched_at = fetched_at + 1"])
@pytest.mark.parametrize("store", ["sqlite", "files"])
def test_each_column_of_a_record_is_covered(tmp_path: Path, change: str, store: str) -> None:
    path = make(tmp_path / "c", store)
    part = next((path / "parts").glob("*.sqlite"))
    with closing(sqlite3.connect(part)) as connection, connection:
        connection.execute(f"{change} WHERE position = 3")
    assert wrong(path)[0] == f"{HOST}/2: record 0001-000:3 is missing or cannot be read"
    mended(path)
    with closing(CrawlDirectory.open_readonly(path).open_frontiers()) as frontier:
        assert next(link.url for link in frontier.owed()) == f"{HOST}/2"


def test_a_damaged_body_file_can_be_written_again(tmp_path: Path) -> None:
    path = make(tmp_path / "c", "files")
    body = next(path.glob("bodies/*/*"))
    body.write_bytes(body.read_bytes()[:-1])
    assert "does not match its digest" in wrong(path)[0]
    mended(path)
    assert not body.exists() and body.with_name(f"{body.name}.broken").exists()


def test_lost_commits_are_detected_and_nothing_else_is_lost(tmp_path: Path) -> None:
    path = make(tmp_path / "c")
    file = frontier_path(path, 0)
    assert commits.noted(file) == PAGES + 2
    older = file.read_bytes()
    with closing(CrawlDirectory.open(path)) as directory, closing(directory.frontier()) as frontier:
        frontier.commit(Batch(retries=[Link(PAGES + 1, "", 0, attempts=1)]), 1.9e9)
    file.write_bytes(older)
    (problem,) = wrong(path)
    assert "has lost its last 1 commits" in problem
    with closing(CrawlDirectory.open(path)) as directory:
        directory.check_to_write()
        with closing(directory.frontier()) as frontier:
            frontier.commit(Batch(retries=[Link(PAGES + 1, "", 0, attempts=1)]), 1.9e9)
    assert wrong(path) == []


@pytest.mark.parametrize("noted", [b"x" * 16, b"x", b""])
def test_a_damaged_note_of_commits_is_reported_and_stops_no_run(tmp_path: Path, noted: bytes) -> None:
    path = make(tmp_path / "c")
    beside = frontier_path(path, 0).with_name(commits.COMMITS)
    beside.write_bytes(noted)
    assert len(wrong(path)) == (noted != b"")
    with closing(CrawlDirectory.open(path)) as directory:
        directory.check_to_write()
    if noted:
        mended(path)


def test_a_lost_edited_or_damaged_manifest_is_rebuilt(tmp_path: Path) -> None:
    path = make(tmp_path / "c")
    before = CrawlDirectory.open_readonly(path).manifest
    edited = (path / MANIFEST).read_text().replace('"robots": false', '"robots": true')
    for content_, word in ((None, "missing"), (edited, "edited"), ("{", "damaged"), ('{"format": 4}', "damaged")):
        (path / MANIFEST).unlink()
        if content_ is not None:
            (path / MANIFEST).write_text(content_)
        for command in ("status", "verify", "resume", "export"):
            code, (line,) = run(command, path)
            assert code == 3 and word in line and "repair" in line, (command, line)
        mended(path)
        after = CrawlDirectory.open_readonly(path).manifest
        assert (after.seed, after.settings, after.runs) == (before.seed, before.settings, before.runs)
    assert len(list(path.glob(f"{MANIFEST}.broken*"))) == 3


def test_a_damaged_manifest_without_a_copy_is_refused_with_one_line(tmp_path: Path) -> None:
    path = make(tmp_path / "c")
    sql(path, "DELETE FROM meta WHERE key = 'manifest'")
    (path / MANIFEST).unlink()
    code, (line,) = run("repair", path)
    assert code == 3 and "cannot be rebuilt" in line


def test_a_shard_lost_together_with_the_manifest_is_detected(tmp_path: Path) -> None:
    path = make(tmp_path / "c")
    with closing(CrawlDirectory.open(path)) as directory:
        directory.set_layout(2, "by host")
        directory.begin_run(directory.settings)
        manifest = directory.manifest
    (path / MANIFEST).unlink()
    assert manifest.shards == 2
    mended(path)


def damaged_copies(dice: random.Random, path: Path, count: int) -> list[tuple[str, Callable[[Path], None]]]:
    """Random damage: bits, cuts, blocks of noise."""
    files = [str(file.relative_to(path)) for file in sorted(path.rglob("*")) if file.is_file() and file.stat().st_size]
    files = [file for file in files if not file.endswith(("lock", "html"))]

    def one() -> tuple[str, Callable[[Path], None]]:
        file, size = (name := dice.choice(files)), (path / name).stat().st_size
        kind = dice.choice(("flip", "flip", "cut", "noise"))
        if kind == "noise":
            at, noise = dice.randrange(size), dice.randbytes(dice.randrange(1, 200))

            def strew(copy: Path) -> None:
                with (copy / file).open("r+b") as target:
                    target.seek(at)
                    target.write(noise[: size - at])

            return f"{kind} {file} {at}", strew
        case = Case(path.name, file, kind, dice.randrange(size * 8 if kind == "flip" else size), through=False)
        return str(case), lambda copy: damage(copy / file, case)

    return [one() for _ in range(count)]


@pytest.mark.parametrize("store", ["sqlite", "files"])
def test_after_any_damage_and_its_repair_nothing_is_wrong(tmp_path: Path, store: str) -> None:
    import shutil

    path = make(tmp_path / "c", store)
    before = content(path)
    repaired = 0
    for label, strike in damaged_copies(random.Random(f"{store} 5"), path, 60):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy)
        strike(copy)
        try:
            found = bool(wrong(copy))
        except CrawlerError as error:
            found = "\n" not in str(error)
        changed = [name for name, said in content(copy).items() if said != before[name]]
        assert found or not changed, (label, changed)
        try:
            directory, lost = CrawlDirectory.rescue(copy)
        except CrawlerError:
            assert "frontier" not in label, label
            continue
        with closing(directory):
            assert repair(directory, lost).rebuilt == found, label
            assert wrong(copy) == [], label
            directory.check_to_write()
            repaired += found
    assert repaired > 10 and set(before) == set(READERS)


def test_every_table_except_those_of_sqlite_has_checksums(tmp_path: Path) -> None:
    path = make(tmp_path / "c")
    with closing(sqlite3.connect(frontier_path(path, 0))) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, columns in COLUMNS.items():
            there = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            assert sorted(there) == sorted([*columns, "checksum"]), table
        manifest = connection.execute("SELECT value FROM meta WHERE key = 'manifest'").fetchone()[0]
    assert tables == set(COLUMNS), "add a new table to COLUMNS and KEYS, so that its rows get checksums and are checked"
    assert json.loads(manifest)["runs"] == 1
