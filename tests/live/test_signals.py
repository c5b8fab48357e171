"""Orderly end: the first signal drains, the second ends at once, and a resume fetches nothing twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import pytest

import variants
from crawler.testweb.oracle import crawl_digest, expected
from crawler.testweb.process import start_web
from crawler.testweb.referee import judge
from crawler.testweb.settings import to_toml
from crawler.testweb.web import Web
from tests.faults.crawlers import ORPHANS_GONE_WITHIN, Crawler
from tests.faults.invariants import DELAY

HOSTS, PAGES, CONCURRENCY = 13, 150, 16
WEB = Web(hosts=HOSTS, pages=PAGES)
DIGEST = crawl_digest(expected(WEB))
Send = Callable[[int, int], None]


def wait_until_it_fetches(log: Path, requests: int) -> None:
    give_up_at = monotonic() + 20
    while not log.exists() or log.read_bytes().count(b"\n") < requests:
        assert monotonic() < give_up_at, "the crawl does not start"
        sleep(0.01)


def check_no_process_is_left(crawler: Crawler) -> None:
    give_up_at = monotonic() + ORPHANS_GONE_WITHIN
    while crawler.alive():
        assert monotonic() < give_up_at, crawler.alive()
        sleep(0.02)


@pytest.mark.parametrize("mode", variants.names())
@pytest.mark.parametrize(
    ("number", "send"),
    [(signal.SIGINT, os.kill), (signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill), (signal.SIGTERM, os.killpg)],
    ids=["INT to the parent", "INT to the group", "TERM to the parent", "TERM to the group"],
)
def test_a_signal_drains_and_a_resume_fetches_nothing_twice(
    tmp_path: Path, mode: str, number: signal.Signals, send: Send
) -> None:
    log = tmp_path / "web.log"
    with start_web(hosts=HOSTS, pages=PAGES, log=log) as web:
        (tmp_path / "web.toml").write_text(to_toml(web.settings))
        first = Crawler(tmp_path, mode, CONCURRENCY)
        wait_until_it_fetches(log, 60)
        send(first.process.pid, number)
        signalled_at = monotonic()
        out, err = first.process.communicate(timeout=20)
        assert monotonic() - signalled_at < 8
        assert first.process.returncode == 128 + number, err.decode()
        summary = json.loads(out)
        assert (summary["complete"], summary["ending"]) == (False, "stopped")
        check_no_process_is_left(first)
        second = Crawler(tmp_path, mode, CONCURRENCY).wait()
        assert (second["owed"], second["digest"]) == (0, DIGEST)
    verdict = judge(log, WEB, DELAY)
    assert (verdict.duplicates, verdict.clean) == ([], True), verdict


@pytest.mark.parametrize("mode", variants.names())
def test_a_second_signal_ends_at_once_and_no_process_is_left(tmp_path: Path, mode: str) -> None:
    with start_web(flat=100, latency=20.0, log=tmp_path / "web.log") as web:
        (tmp_path / "web.toml").write_text(to_toml(web.settings))
        crawler = Crawler(tmp_path, mode, CONCURRENCY, "--timeout", "60")
        wait_until_it_fetches(tmp_path / "web.log", 1)
        os.kill(crawler.process.pid, signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):  # it waits for what is in flight
            crawler.process.wait(0.5)
        os.kill(crawler.process.pid, signal.SIGINT)
        signalled_at = monotonic()
        crawler.process.communicate(timeout=10)
        assert monotonic() - signalled_at < 1
        assert crawler.process.returncode == 130
        check_no_process_is_left(crawler)


def test_a_terminal_has_its_cursor_again_after_a_second_signal(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        master, slave = os.openpty()
        words = [url, "--out", str(tmp_path / "out")]
        process = subprocess.Popen([sys.executable, "-m", "crawler", *words], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        asked, _ = silent.accept()  # a fetch is in flight: without one a crawl ends before there is time to say so
        shown = b""
        for wanted, number in ((b"\x1b[?25l", signal.SIGINT), (b"stopping: ", signal.SIGTERM)):
            while wanted not in shown:
                shown += os.read(master, 65_536)
            os.kill(process.pid, number)
        assert process.wait(10) == 143
        with suppress(OSError):  # the other end is closed
            while more := os.read(master, 65_536):
                shown += more
        os.close(master)
        asked.close()
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
