"""Where the limit of open files is low, a run makes fewer fetches at once and loses no URL."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import crawler
import variants
from crawler.testweb.oracle import crawl_digest, expected
from crawler.testweb.process import start_web
from crawler.testweb.settings import to_toml
from crawler.testweb.web import Web

ROOT = Path(crawler.__file__).parents[1]
ASK = (
    "import resource; from crawler.system.file_limits import ensure_fd_limit; "
    "ensure_fd_limit({}); print(resource.getrlimit(7)[0])"
)


def limited(soft: int, hard: int, *command: str) -> subprocess.CompletedProcess[str]:
    shell = ["sh", "-c", f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$0" "$@"', sys.executable, *command]
    return subprocess.run(shell, capture_output=True, text=True, cwd=ROOT, timeout=60)


def test_the_soft_limit_is_raised_as_far_as_needed_and_allowed() -> None:
    assert limited(200, 1000, "-c", ASK.format(100)).stdout.strip() == "1000"
    assert limited(1000, 1000, "-c", ASK.format(234)).stdout.strip() == "1000"


def test_a_low_limit_of_open_files_lowers_concurrency() -> None:
    program = "from crawler.system.file_limits import ensure_fd_limit; print(ensure_fd_limit({}))"
    assert limited(300, 300, "-c", program.format(900)).stdout.strip() == "59"
    assert limited(64, 64, "-c", program.format(100)).stdout.strip() == "8"
    refused = limited(30, 30, "-c", program.format(1))
    assert "a crawl needs 40 open files and this system allows 30" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("mode", variants.names())
def test_a_crawl_with_64_descriptors_loses_no_url(mode: str, tmp_path: Path) -> None:
    with start_web(hosts=30, pages=300) as web:
        (tmp_path / "web.toml").write_text(to_toml(web.settings))
        words = ("--mode", mode, "--profile", "demo", "--config", str(tmp_path / "web.toml"), "--processes", "2")
        ended = limited(64, 64, "-m", "crawler", *words, "-q", "--json", "--out", str(tmp_path / "out"))
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert summary["digest"] == crawl_digest(expected(Web(hosts=30, pages=300)))
    assert summary["pauses"]["starved"] >= 1


@pytest.mark.parametrize(
    ("client", "on_a_loop"),
    [("aiohttp", True), ("native", True), ("native", False), ("curl", False), ("urllib3", False)],
)
def test_a_fetch_without_a_free_descriptor_is_not_a_failure_of_the_url(client: str, on_a_loop: bool) -> None:
    """Every descriptor is taken before the fetch."""
    ended = limited(64, 64, "-c", STARVE.format(client, on_a_loop))
    assert ended.stdout.strip() == "starved", ended.stderr


STARVE = """
import asyncio, os, threading
from crawler.core.messages import Fetch
from crawler.fetch import open_async_fetcher, open_fetcher
from crawler.fetch.base import ClientPlan
from crawler.runtime.job import open_processor
from crawler.settings import open_scope
from crawler.settings import Settings
from crawler.pipeline.visit import avisit, visit
settings = Settings(seeds=("http://127.0.0.1:8/",))
reader, fetch = open_processor(settings, open_scope(settings)), Fetch(1, "http://127.0.0.1:8/")
def take():
    try:
        while True:
            os.dup(0)
    except OSError:
        pass
async def ask():
    fetcher = open_async_fetcher("{0}", ClientPlan(seeds=settings.seeds))
    take()
    return await avisit(fetch, fetcher, reader, None)
if {1}:
    found = asyncio.run(ask())
else:
    fetcher = open_fetcher("{0}", ClientPlan(seeds=settings.seeds))
    take()
    found = visit(fetch, fetcher, reader, None, threading.Lock())
print(found.kind, flush=True)
os._exit(0)
"""
