"""Crawls on a Ray cluster of this machine: the digest of the other modes, nothing left of it, whatever is killed.

The first two tests are a smoke of all parts; the others that crawl are `long`.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import pytest

from crawler.testweb.settings import to_toml
from tests.database_server import DatabaseServer, free_port
from tests.faults.crawlers import ORPHANS_GONE_WITHIN, Crawler
from tests.faults.invariants import ON_ITS_WAY, Truth
from tests.live.test_remote import places
from tests.object_server import ObjectServer

pytest.importorskip("ray")
if shutil.which("ss") is None:
    pytest.skip("ss was not found: apt-get install iproute2", allow_module_level=True)

from variants.ray_session import ALWAYS, LOOPBACK, PREFIX
from variants.ray_watcher import processes_of

pytestmark = pytest.mark.timeout(600)
HOSTS, PAGES, CONCURRENCY = 13, 300, 16
PATIENCE = 240.0
ACTOR = b"ray::ShardActor"
LOOPBACK_ADDRESSES = {"127.0.0.1", "[::ffff:127.0.0.1]"}
HOLD = """
import sys
from variants.ray_session import ray_session
with ray_session("local", 1) as ray:
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
"""
"""Holds a local cluster until standard input is closed; prints the address of its head."""
ASK = "import sys; from ray._raylet import GcsClient; print(GcsClient(sys.argv[1]).get_all_node_info(timeout=30))"
"""Asks a head for its nodes."""


def folders() -> list[Path]:
    """The folders of all local clusters of crawls."""
    return list(Path("/tmp").glob(f"{PREFIX}*"))


def of_ray() -> set[int]:
    """The living processes of these clusters, less the crawlers themselves."""
    return {pid for folder in folders() for pid in processes_of(str(folder)) if not is_crawler(pid)}


def is_crawler(pid: int) -> bool:
    """Whether a process is the driver, or the watcher."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"\0-m\0crawler\0" in words or b"ray_watcher.py" in words
    return True


def actors() -> list[int]:
    """The processes of the shards."""
    found = []
    for pid in of_ray():
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(ACTOR):
                found.append(pid)
    return found


def wait_until_gone(seconds: float) -> None:
    until = monotonic() + seconds
    while of_ray() or folders():
        assert monotonic() < until, (of_ray(), folders())
        sleep(0.05)


def wait_for_pages(folder: Path, count: int, crawler: Crawler) -> None:
    """Wait until the server has seen so many requests."""
    until = monotonic() + PATIENCE
    log = folder / "web.log"
    while not log.exists() or log.read_bytes().count(b"\n") < count:
        assert monotonic() < until and not crawler.ended(), crawler.end(1.0)
        sleep(0.05)


def listeners(pids: set[int]) -> set[tuple[str, int]]:
    """The address and process of each socket that these listen on, as `ss` tells them."""
    told = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, timeout=60, check=True).stdout
    found = set()
    for line in told.splitlines():
        address = line.split()[3].rpartition(":")[0]
        found |= {(address, int(pid)) for pid in re.findall(r"pid=([0-9]+)", line) if int(pid) in pids}
    return found


def test_two_shards_with_a_database_and_an_object_store_listen_on_loopback(
    tmp_path: Path, database_server: DatabaseServer, object_server: ObjectServer
) -> None:
    truth = Truth(HOSTS, PAGES)
    with truth.serve(tmp_path) as web:
        (tmp_path / "web.toml").write_text(places(database_server, object_server) + to_toml(web.settings))
        crawler = Crawler(tmp_path, "ray:2", CONCURRENCY)
        wait_for_pages(tmp_path, 10, crawler)
        found = listeners(of_ray() | {crawler.process.pid})
        assert found and {address for address, _ in found} <= LOOPBACK_ADDRESSES, found
        summary = crawler.wait(PATIENCE)
        assert summary["mode"] == "ray"
        truth.check(tmp_path, web, summary, [], CONCURRENCY)
        assert not list((tmp_path / "out").glob("**/*.sqlite"))
    wait_until_gone(ORPHANS_GONE_WITHIN)


def test_a_local_cluster_answers_nobody_without_its_token() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held:
        assert held.stdin is not None and held.stdout is not None
        address = held.stdout.readline().decode().strip()
        for token in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
            others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
            command = [sys.executable, "-c", ASK, address]
            ran = subprocess.run(command, env=others | token, capture_output=True, text=True, timeout=PATIENCE)
            assert ran.returncode and "InvalidAuthToken" in ran.stderr, ran
        held.stdin.close()
    assert held.returncode == 0
    wait_until_gone(ORPHANS_GONE_WITHIN)


@pytest.mark.long
def test_shards_on_ray_store_what_every_mode_stores(tmp_path: Path) -> None:
    truth = Truth(HOSTS, PAGES)
    with truth.serve(tmp_path) as web:
        (tmp_path / "web.toml").write_text(to_toml(web.settings))
        summary = Crawler(tmp_path, "ray:2", CONCURRENCY).wait(PATIENCE)
        assert summary["mode"] == "ray"
        truth.check(tmp_path, web, summary, [], CONCURRENCY)
    wait_until_gone(ORPHANS_GONE_WITHIN)


@pytest.mark.long
def test_a_killed_driver_leaves_nothing_and_any_mode_resumes(tmp_path: Path) -> None:
    truth = Truth(HOSTS, PAGES)
    struck = []
    with truth.serve(tmp_path) as web:
        (tmp_path / "web.toml").write_text(to_toml(web.settings))
        crawler = Crawler(tmp_path, "ray:2", CONCURRENCY)
        wait_for_pages(tmp_path, 60, crawler)
        struck.append(monotonic())
        os.kill(crawler.process.pid, signal.SIGKILL)
        wait_until_gone(ORPHANS_GONE_WITHIN)
        while struck[-1] < monotonic():  # the shards go on until the watcher has ended them
            struck.append(struck[-1] + ON_ITS_WAY)
        crawler.reap()
        summary = Crawler(tmp_path, "async", CONCURRENCY, "--max-pages", "150").end().summary
        assert summary is not None and summary["ending"] == "limit"
        summary = Crawler(tmp_path, "ray:3", CONCURRENCY, "--max-pages", "100000").wait(PATIENCE)
        truth.check(tmp_path, web, summary, struck, CONCURRENCY)
    wait_until_gone(ORPHANS_GONE_WITHIN)


@pytest.mark.long
def test_a_shard_that_was_killed_is_started_again(tmp_path: Path) -> None:
    truth = Truth(HOSTS, PAGES)
    with truth.serve(tmp_path) as web:
        (tmp_path / "web.toml").write_text(to_toml(web.settings))
        crawler = Crawler(tmp_path, "ray:2", CONCURRENCY)
        wait_for_pages(tmp_path, 60, crawler)
        shard = actors()[0]
        struck = [monotonic()]
        os.kill(shard, signal.SIGKILL)
        summary = crawler.wait(PATIENCE)
        truth.check(tmp_path, web, summary, struck, CONCURRENCY)


@contextmanager
def head() -> Iterator[str]:
    """A Ray cluster of one node, started as an administrator does, on loopback; yields its address."""
    folder = tempfile.mkdtemp(prefix="crawler-head-", dir="/tmp")  # short: paths of sockets have at most 107 bytes
    port = next(port for port in iter(free_port, 0) if not 10_000 <= port < 20_000)  # Ray's workers have those
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--port={port}", "--node-ip-address=127.0.0.1", "--num-cpus=2", "--include-dashboard=false"]
    command += ["--object-store-memory=80000000", f"--temp-dir={folder}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until = monotonic() + PATIENCE
        while not (Path(folder) / "session_latest" / "sockets" / "raylet").exists():
            assert monotonic() < until and process.poll() is None
            sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        while left := processes_of(folder) - {os.getpid()}:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            sleep(0.05)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.long
def test_a_crawl_joins_a_cluster_and_keeps_nothing_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_server: DatabaseServer, object_server: ObjectServer
) -> None:
    for name, value in {**LOOPBACK, **ALWAYS, "RAY_AUTH_TOKEN": secrets.token_hex(32)}.items():
        monkeypatch.setenv(name, value)
    truth = Truth(HOSTS, PAGES)
    with head() as address, truth.serve(tmp_path) as web:
        (tmp_path / "web.toml").write_text(places(database_server, object_server) + to_toml(web.settings))
        summary = Crawler(tmp_path, "ray:3", CONCURRENCY, "--ray-address", address).wait(PATIENCE)
        truth.check(tmp_path, web, summary, [], CONCURRENCY)
        assert not list((tmp_path / "out").glob("**/*.sqlite"))


def test_a_cluster_that_is_not_there_and_files_on_many_machines_are_one_line(tmp_path: Path) -> None:
    def error_of(*words: str) -> str:
        command = [
            sys.executable,
            "-m",
            "crawler",
            "--mode",
            "ray",
            "--out",
            str(tmp_path / "c"),
            *words,
            "http://a.test/",
        ]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert ran.returncode == 2 and ran.stderr.count("\n") == 1, ran
        return ran.stderr

    assert "--store s3://" in error_of("--ray-address", "127.0.0.1:1")
