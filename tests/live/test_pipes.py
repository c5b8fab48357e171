"""Pipes that are not read, and readers that close them: a crawl continues or drains, and does not block on output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import variants
from crawler.testweb.oracle import crawl_digest, expected
from crawler.testweb.process import StartedWeb, start_web
from crawler.testweb.settings import to_toml
from crawler.testweb.web import Web
from tests.live.test_cli import wait_until_settled
from tests.live.test_storage_faults import frontiers

HOSTS, PAGES = 13, 300
DIGEST = crawl_digest(expected(Web(hosts=HOSTS, pages=PAGES)))


@pytest.fixture(scope="module")
def web() -> Iterator[StartedWeb]:
    with start_web(hosts=HOSTS, pages=PAGES) as started:
        yield started


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """The write end of a full pipe that is not read."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    yield write
    os.close(read)
    os.close(write)


def crawl(folder: Path, web: StartedWeb, mode: str, *more: str, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    (folder / "web.toml").write_text(to_toml(web.settings))
    words = ["--mode", mode, "--profile", "demo", "--config", str(folder / "web.toml"), "--out", str(folder / "out")]
    return subprocess.Popen([sys.executable, "-m", "crawler", *words, "--json", *more], stdout=stdout, stderr=stderr)


@pytest.mark.parametrize("mode", variants.names())
def test_a_full_pipe_stops_neither_the_crawl_nor_its_end(
    tmp_path: Path, web: StartedWeb, full_pipe: int, mode: str
) -> None:
    process = crawl(tmp_path, web, mode, "--resume", "--delay", "0.1", stdout=subprocess.PIPE, stderr=full_pipe)
    wait_until_settled(tmp_path / "out", 20)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert json.loads(out)["ending"] == "stopped"
    process = crawl(tmp_path, web, mode, "--resume", "--delay", "0", stdout=subprocess.PIPE, stderr=full_pipe)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["digest"]) == (0, DIGEST)


def test_printing_an_error_to_a_full_pipe_does_not_block(tmp_path: Path, full_pipe: int) -> None:
    words = [sys.executable, "-m", "crawler", "status", str(tmp_path)]
    assert subprocess.run(words, stderr=full_pipe, timeout=30).returncode == 2


@pytest.mark.parametrize("mode", variants.names())
def test_closed_output_pipes_do_not_end_a_crawl(tmp_path: Path, web: StartedWeb, mode: str) -> None:
    read, write = os.pipe()
    process = crawl(tmp_path, web, mode, stdout=write, stderr=write)
    os.close(read)
    os.close(write)
    assert process.wait(60) in (0, 141)
    looked = subprocess.run(
        [sys.executable, "-m", "crawler", "status", "--json", tmp_path / "out"], capture_output=True, check=True
    )
    summary = json.loads(looked.stdout)
    assert (summary["owed"], summary["digest"]) == (0, DIGEST)


def test_a_closed_terminal_drains_the_crawl(tmp_path: Path, web: StartedWeb) -> None:
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        pytest.skip("SIGHUP is ignored here, as under nohup, and so in whatever is started")
    master, slave = os.openpty()
    process = crawl(tmp_path, web, "async", "--delay", "0.1", stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    frontiers(tmp_path / "out")
    os.close(master)
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 129
    assert json.loads(out)["ending"] == "stopped"
