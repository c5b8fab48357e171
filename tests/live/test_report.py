"""`python -m crawler report`, as its users run it: also on a crawl that is killed, and on what is no crawl."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crawler", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("crawls") / "demo"
    assert run("--out", out, "-q", "--max-pages", 150).returncode == 1
    return out


def test_a_crawl_names_its_report_and_report_writes_it_again(crawl: Path) -> None:
    report = crawl / "report.html"
    assert report.exists()
    report.unlink()
    told = run("report", crawl)
    assert (told.returncode, told.stderr) == (0, "")
    assert str(report) in told.stdout
    assert "<b>150</b><span>URLs fetched</span>" in report.read_text()


def test_several_crawls_need_a_file_and_get_one_page(crawl: Path, tmp_path: Path) -> None:
    told = run("report", crawl, crawl)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1) and "-o FILE" in told.stderr
    assert run("report", crawl, crawl, "-o", tmp_path / "both.html").returncode == 0
    assert "2 crawls side by side" in (tmp_path / "both.html").read_text()


def test_what_is_no_crawl_is_told_in_one_line(tmp_path: Path, crawl: Path) -> None:
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison/session.json").write_text("{}")
    for where, said in {
        tmp_path: "is not a crawl",
        tmp_path / "nowhere": "is not a crawl",
        tmp_path / "comparison": "compare report",
    }.items():
        told = run("report", where)
        assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)
        assert said in told.stderr
    told = run("report", crawl, "-o", tmp_path / "no/such/folder/x.html")
    assert (told.returncode, told.stderr.count("\n")) == (3, 1)
    told = run("report", crawl, "-o", tmp_path)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("mode", ["async", "processes"])
def test_a_crawl_can_be_told_of_while_it_runs_and_after_a_kill(tmp_path: Path, mode: str) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "crawler", "--mode", mode, "--delay", "0.2", "--out", str(out), "-q"]
    crawl = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        give_up_at = time.monotonic() + PATIENCE
        while not any((out / "parts").glob("*.sqlite-wal")) and time.monotonic() < give_up_at:
            time.sleep(0.05)
        told = run("report", out, "-o", tmp_path / "live.html")
        assert (told.returncode, told.stderr) == (0, "")
        assert f"running in process {crawl.pid}" in (tmp_path / "live.html").read_text()
    finally:
        crawl.kill()
        crawl.wait()
    assert not (out / "report.html").exists()
    assert run("report", out).returncode == 0
    assert "not complete, not running" in (out / "report.html").read_text()
    verified = run("verify", out)
    assert verified.returncode == 0, verified.stdout
