"""Cookies of a crawl: sent back in every mode, through stops, resumes, other modes and other numbers of shards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.raw_server import RawServer, Step, response

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60
PAGES = 12


def reply(path: str) -> list[Step]:
    """The first page sets a session cookie, every page its own cookie, and one page more cookies than a host may
    have."""
    if path == "/robots.txt":
        return [response(b"", "Set-Cookie: robots=1; Path=/", "Content-Type: text/plain"), "keep"]
    links = "".join(f'<a href="/{number}">n</a>' for number in range(PAGES)) if path == "/" else ""
    baked = ["Set-Cookie: session=abc; Path=/; Max-Age=3600", f"Set-Cookie: seen{path.strip('/')}=1; Path=/only"]
    if path == "/3":
        baked = [f"Set-Cookie: more{number}=1; Path=/more" for number in range(190)]
    return [response(links.encode(), "Content-Type: text/html", *baked), "keep"]


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer(reply) as one:
        yield one


def run(server: RawServer, tmp_path: Path, *options: str, cookies: bool = True) -> subprocess.CompletedProcess[str]:
    (tmp_path / "job.toml").write_text(f"delay = 0\ncookies = {str(cookies).lower()}\n")
    command = [sys.executable, "-m", "crawler", "--resume", "--config", "job.toml", "--out", "crawl", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command += [*options, f"{server.url}/"]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE)


def sent(head: bytes) -> str:
    """The Cookie header of a request."""
    found = re.search(rb"(?im)^cookie: *(.*?)\r?$", head)
    return found[1].decode() if found else ""


@pytest.mark.parametrize("mode", ["async", "threads", "processes", "prefork"])
def test_cookies_are_sent_back_and_survive_a_resume(server: RawServer, tmp_path: Path, mode: str) -> None:
    assert run(server, tmp_path, "--mode", mode, "--processes", "2", "--max-pages", "3").returncode == 1
    first, *rest = [head for head in server.requests if b"/robots.txt" not in head]
    assert sent(first) == ""
    assert {sent(head) for head in rest} == {"session=abc"}
    others = {"async": "prefork", "threads": "async", "processes": "threads", "prefork": "prefork"}
    more = ["--processes", "3", "--per-host", "8", "--max-pages", "100"]
    ended = run(server, tmp_path, "--mode", others[mode], *more)
    assert ended.returncode == 0, ended.stderr
    later = [head for head in server.requests if b"/robots.txt" not in head][1 + len(rest) :]
    assert len(later) == PAGES + 1 - 3
    assert {sent(head) for head in later} <= {"session=abc", ""}
    assert sent(later[0]) == "session=abc"  # the cookies of /3 displace the oldest, which are counted
    assert '"cookies_dropped": ' in ended.stdout and '"cookies_dropped": 0' not in ended.stdout
    assert not [head for head in server.requests if b"robots=1" in head or (b"/robots.txt" in head and sent(head))]


def test_with_cookies_off_none_is_stored_or_sent(server: RawServer, tmp_path: Path) -> None:
    assert run(server, tmp_path, "--max-pages", "4", cookies=True).returncode == 1
    asked = len(server.requests)
    assert run(server, tmp_path, "--max-pages", "100", cookies=False).returncode == 0
    assert len(server.requests) > asked and not [head for head in server.requests[asked:] if sent(head)]
