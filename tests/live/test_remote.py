"""Crawls whose URLs are in PostgreSQL and whose pages are in an object store: the same digest, nothing lost, nothing
twice, whatever is killed: the crawler, the database, the object store."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

import variants
from crawler.service.crawl_reader import urls
from crawler.testweb.settings import to_toml
from tests.database_server import PASSWORD, DatabaseServer
from tests.faults.crawlers import Crawler
from tests.faults.invariants import Truth
from tests.live.kills import Campaign, strike_group, strike_worker
from tests.object_server import BUCKET, KEY, SECRET, ObjectServer

pytest.importorskip("psycopg")
pytest.importorskip("obstore")

HOSTS, PAGES, CONCURRENCY = 13, 400, 16
LIFE = (0.6, 1.6)


def places(database: DatabaseServer, objects: ObjectServer) -> str:
    """The configuration that keeps URLs and pages there, and waits a minute for them."""
    keys = {"frontier": database.url, "frontier_password": database.password, "store": f"s3://{BUCKET}/of/kills"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in (keys | objects.keys).items()]
    return "\n".join([*lines, "disk_wait = 60.0", ""])


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[DatabaseServer, ObjectServer]]:
    """Servers that may be killed."""
    database = DatabaseServer()
    objects = ObjectServer()
    yield database, objects
    database.close()
    objects.close()


def run(*words: str, code: int = 0) -> str:
    """The stdout of a command of the crawler."""
    ran = subprocess.run([sys.executable, "-m", "crawler", *words], capture_output=True, text=True, timeout=120)
    assert ran.returncode == code, ran
    return ran.stdout


def test_every_mode_stores_the_same_and_every_command_reads_it_anywhere(
    servers: tuple[DatabaseServer, ObjectServer], tmp_path: Path
) -> None:
    truth = Truth(HOSTS, 120)
    with truth.serve(tmp_path) as web:
        for mode in variants.names():
            folder = tmp_path / mode
            folder.mkdir()
            (folder / "web.toml").write_text(places(*servers) + to_toml(web.settings))
            summary = Crawler(folder, mode, CONCURRENCY).wait()
            truth.check_content(folder, summary)
            assert not list((folder / "out").glob("**/*.sqlite")), "nothing is kept here"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(tmp_path / "prefork" / "out" / "crawl.json", elsewhere)
    out = str(elsewhere)
    assert f"digest     {truth.digest}" in run("status", out)
    assert json.loads(run("verify", out, "--json"))["digest"] == truth.digest
    assert len(run("export", out).splitlines()) == len(truth.ends)
    assert len(urls(elsewhere, (), None, 10_000).items) == len(truth.ends), "as the service shows them"
    run("report", out)
    report = (elsewhere / "report.html").read_text()
    assert "stored pages of run 1 show" in report, "the times of pages are read, too"
    assert (
        "restore those"
        in subprocess.run([sys.executable, "-m", "crawler", "repair", out], capture_output=True, text=True).stderr
    )
    kept = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert PASSWORD not in kept and "test-secret-value" not in kept
    assert f"env:{KEY}" in kept and f"env:{SECRET}" in kept


def test_kill_9_of_the_group_loses_nothing_and_any_mode_goes_on(servers: tuple[DatabaseServer, ObjectServer]) -> None:
    modes = ["prefork:2", "async", "prefork:3", "processes"]
    report = Campaign(modes, HOSTS, PAGES, CONCURRENCY, 2, places(*servers)).run(4, strike_group, LIFE)
    assert report.kills == 4


def test_a_shard_that_was_killed_goes_on_from_the_database(servers: tuple[DatabaseServer, ObjectServer]) -> None:
    def strike(crawler: Crawler) -> float | None:
        while not crawler.workers() and not crawler.ended():
            sleep(0.02)
        return strike_worker(crawler)

    report = Campaign(["prefork"], HOSTS, PAGES, CONCURRENCY, 3, places(*servers)).run(1, strike, LIFE)
    assert report.kills == 1


@pytest.mark.parametrize(
    ("mode", "victim", "life"),
    [("prefork", 0, (0.2, 0.6)), ("prefork", 0, LIFE), ("async", 1, LIFE)],
    ids=["database_early", "database", "objects"],
)
def test_a_crawl_waits_for_a_server_that_was_killed(
    mode: str, victim: int, life: tuple[float, float], servers: tuple[DatabaseServer, ObjectServer]
) -> None:
    def strike(crawler: Crawler) -> float:
        hit_at = monotonic()
        servers[victim].kill()
        servers[victim].start()
        crawler.wait()
        return hit_at

    report = Campaign([mode], HOSTS, PAGES, CONCURRENCY, 4, places(*servers)).run(1, strike, life)
    assert report.kills == 1
