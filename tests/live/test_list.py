"""`list`, and what a try leaves that fetched nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HASTY = "robots_backoff = 0.05\nbackoff = 0.05\ndelay = 0.0\nhost_patience = 0.2\n"
NOBODY = "http://127.0.0.1:2/"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crawler", *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "hasty.toml").write_text(HASTY)
    return tmp_path


def test_a_try_that_fetched_nothing_leaves_one_line_and_no_directory(place: Path) -> None:
    ran = run(NOBODY, "--config", "hasty.toml", "-q", cwd=place)
    assert (ran.returncode, ran.stdout) == (4, "")
    assert ran.stderr.startswith("error: nothing could be fetched: ") and ran.stderr.count("\n") == 1
    assert "retry" not in ran.stderr
    assert [one.name for one in place.iterdir()] == ["hasty.toml"]


def test_its_summary_in_json_names_no_directory(place: Path) -> None:
    ran = run(NOBODY, "--config", "hasty.toml", "-q", "--json", cwd=place)
    told = json.loads(ran.stdout)
    assert (ran.returncode, told["ending"], told["out"]) == (4, "failed", None)


def test_other_crawls_stay_where_one_fetched_nothing(place: Path) -> None:
    (place / "crawls/mine").mkdir(parents=True)
    run(NOBODY, "--config", "hasty.toml", "-q", cwd=place)
    assert [one.name for one in (place / "crawls").iterdir()] == ["mine"]


def test_with_out_it_stays_is_listed_and_asked_again(place: Path) -> None:
    ran = run(NOBODY, "--config", "hasty.toml", "--out", "crawls/c", "-q", cwd=place)
    assert ran.returncode == 4 and "resume crawls/c" in ran.stderr
    told = json.loads(run("list", "--json", cwd=place).stdout)
    assert (told["out"], told["pages"], told["error"]) == ("crawls/c", 0, "")
    assert told["size"] > 0 and told["state"].startswith("failed")
    again = run(NOBODY, "--config", "hasty.toml", "--out", "crawls/c", "--resume", cwd=place)
    assert again.returncode == 4 and "fetching 1 URL again" in again.stderr


def test_a_damaged_crawl_is_listed_with_its_error(place: Path) -> None:
    run(NOBODY, "--config", "hasty.toml", "--out", "crawls/c", "-q", cwd=place)
    (place / "crawls/c/crawl.json").write_text("{}")
    (place / "crawls/no-crawl").mkdir()
    ran = run("list", cwd=place)
    assert ran.returncode == 0 and "damaged" in ran.stdout and "no-crawl" not in ran.stdout


def test_a_folder_that_is_not_there_is_refused(place: Path) -> None:
    ran = run("list", cwd=place)
    assert (ran.returncode, ran.stderr) == (
        2,
        "error: there is no folder crawls; name the one that holds your crawls\n",
    )
