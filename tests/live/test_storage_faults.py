"""Faults of a disk and locks of other programs: one clear line or a wait, no damage, and the crawl continues
afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep

import pytest

import variants
from crawler.testweb.oracle import crawl_digest, expected
from crawler.testweb.process import StartedWeb, start_web
from crawler.testweb.settings import to_toml
from crawler.testweb.web import Web
from tests.faults.crawlers import Crawler
from tests.live.disks import mounted

HOSTS, PAGES = 13, 300
DIGEST = crawl_digest(expected(Web(hosts=HOSTS, pages=PAGES)))
LOCKED = float(os.environ.get("LOCKED_SECONDS", "15"))
MIB = 1 << 20


@pytest.fixture
def web(tmp_path: Path) -> Iterator[StartedWeb]:
    with start_web(hosts=HOSTS, pages=PAGES) as started:
        (tmp_path / "web.toml").write_text(to_toml(started.settings))
        yield started


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    with mounted(tmp_path / "out", 12 * MIB) as place:
        yield place


def configure(folder: Path, *lines: str) -> None:
    config = folder / "web.toml"
    config.write_text("\n".join((*lines, config.read_text())))


def verified(out: Path) -> bool:
    return subprocess.run([sys.executable, "-m", "crawler", "verify", out], capture_output=True).returncode == 0


def frontiers(out: Path) -> list[Path]:
    """The frontiers of a crawl; waits until it has started."""
    give_up_at = monotonic() + 30
    while monotonic() < give_up_at:
        found = [path for path in out.glob("shard-*/frontier.sqlite") if path.stat().st_size > 0]
        if found and list(out.glob("parts/*.sqlite")):
            return found
        sleep(0.05)
    raise AssertionError("the crawl did not start in time")


@pytest.mark.parametrize("mode", variants.names())
def test_it_pauses_before_the_disk_is_full_and_continues_by_itself(
    tmp_path: Path, disk: Path, web: StartedWeb, mode: str
) -> None:
    reserve = 11 * MIB
    configure(tmp_path, "disk_wait = 60.0", f"disk_reserve = {reserve}")
    crawler = Crawler(tmp_path, mode, 16, "--delay", "0")
    with pytest.raises(subprocess.TimeoutExpired):
        crawler.process.wait(8)
    used = (12 * MIB) - os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    assert used < 8 * MIB, "it stored pages below the reserve"
    subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
    summary = crawler.wait()
    assert (summary["owed"], summary["digest"]) == (0, DIGEST)
    assert summary["pauses"] == {"disk": 1} or mode == "prefork"
    assert verified(disk)


@pytest.mark.parametrize("mode", variants.names())
def test_below_the_reserve_without_disk_wait_it_ends_with_exit_3(
    tmp_path: Path, disk: Path, web: StartedWeb, mode: str
) -> None:
    configure(tmp_path, f"disk_reserve = {11 * MIB}")
    crawler = Crawler(tmp_path, mode, 16)
    _, err = crawler.process.communicate(timeout=60)
    lines = err.decode().strip().splitlines()
    assert crawler.process.returncode == 3, lines
    assert len(lines) == 1 and "but the reserve" in lines[0] and "disk_reserve" in lines[0], lines
    assert verified(disk)


@pytest.mark.parametrize("mode", ["async", "prefork"])
def test_it_waits_for_a_frontier_that_another_program_has_locked(tmp_path: Path, web: StartedWeb, mode: str) -> None:
    crawler = Crawler(tmp_path, mode, 16)
    (path, *_) = frontiers(tmp_path / "out")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        sleep(LOCKED)
        assert not crawler.ended()
        other.execute("ROLLBACK")
    out, err = crawler.process.communicate(timeout=120)
    assert crawler.process.returncode == 0, err
    assert re.fullmatch(rb"warning: incomplete: missed robots_unavailable \d+, server_error \d+; .*\n", err), err
    summary = json.loads(out)
    assert (summary["owed"], summary["digest"]) == (0, DIGEST)
    assert summary["pauses"] == {"locked": 1}


@pytest.mark.parametrize("mode", variants.names())
def test_a_failing_fsync_ends_the_run_with_one_line_and_a_resume_completes(
    tmp_path: Path, web: StartedWeb, mode: str
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("faults are injected by strace")
    crawler = Crawler(tmp_path, mode, 16, "--delay", "0.1")
    frontiers(tmp_path / "out")
    pids = [str(pid) for pid in (crawler.process.pid, *crawler.workers())]
    inject = [
        "strace", "-f", "-qq", "-o", str(tmp_path / "strace.log"),
        "-e", "trace=fsync,fdatasync,pwrite64", "-e", "inject=fsync,fdatasync,pwrite64:error=EIO:when=20+",
        *(word for pid in pids for word in ("-p", pid)),
    ]  # fmt: skip
    tracer = subprocess.Popen(inject, stderr=subprocess.PIPE)
    try:
        _, err = crawler.process.communicate(timeout=60)
    finally:
        tracer.terminate()
        _, why = tracer.communicate(timeout=10)
    if b"attach" in why:
        pytest.skip(f"strace cannot attach here: {why.decode()}")
    lines = err.decode().strip().splitlines()
    assert crawler.process.returncode == 3, lines
    assert len(lines) == 1 and "disk I/O error" in lines[0], lines
    summary = Crawler(tmp_path, mode, 16).wait()
    assert (summary["owed"], summary["digest"]) == (0, DIGEST)
    assert verified(tmp_path / "out")


def test_a_directory_that_cannot_be_written_is_reported_in_one_line_at_once(tmp_path: Path, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for out in (disk, disk / "new", Path("/proc/none")):
        command = [sys.executable, "-m", "crawler", "--out", str(out), "http://127.0.0.1:9/"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert ended.returncode == 3, ended.stderr
        assert len(ended.stderr.splitlines()) == 1 and str(out) in ended.stderr, ended.stderr
