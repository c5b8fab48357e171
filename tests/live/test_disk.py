"""A full disk stops a crawl with one line and damages nothing; the crawl continues once there is space."""

from __future__ import annotations

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
from tests.faults.crawlers import Crawler
from tests.live.disks import mounted

HOSTS, PAGES = 13, 300
DIGEST = crawl_digest(expected(Web(hosts=HOSTS, pages=PAGES)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1.5 MB; the crawl needs more."""
    with mounted(tmp_path / "out", 1500 * 1024) as place:
        yield place


@pytest.fixture
def web(tmp_path: Path) -> Iterator[StartedWeb]:
    with start_web(hosts=HOSTS, pages=PAGES) as started:
        (tmp_path / "web.toml").write_text(to_toml(started.settings))
        yield started


@pytest.mark.parametrize("store", ["sqlite", "files"])
@pytest.mark.parametrize("mode", variants.names())
def test_a_full_disk_is_exit_3_and_a_resume_with_space_completes(
    tmp_path: Path, small_disk: Path, web: StartedWeb, mode: str, store: str
) -> None:
    full = Crawler(tmp_path, mode, 16, "--store", store)
    _, err = full.process.communicate(timeout=60)
    lines = err.decode().strip().splitlines()
    assert full.process.returncode == 3, lines
    assert len(lines) == 1 and "no space left" in lines[0], lines
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    summary = Crawler(tmp_path, mode, 16).wait()
    assert (summary["owed"], summary["digest"]) == (0, DIGEST)
    verified = subprocess.run([sys.executable, "-m", "crawler", "verify", str(small_disk)], capture_output=True)
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize(("mode", "store"), [("async", "sqlite"), ("async", "files"), ("threads", "files")])
def test_with_disk_wait_a_crawl_waits_for_space(
    tmp_path: Path, small_disk: Path, web: StartedWeb, mode: str, store: str
) -> None:
    config = tmp_path / "web.toml"
    config.write_text("disk_wait = 60.0\n" + config.read_text())
    crawler = Crawler(tmp_path, mode, 16, "--store", store)
    with pytest.raises(subprocess.TimeoutExpired):
        crawler.process.wait(6)
    assert not list(small_disk.rglob("bodies/*/.*")), "an incompletely written file is left"
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    summary = crawler.wait()
    assert (summary["owed"], summary["digest"]) == (0, DIGEST)
