"""A damaged crawl is refused with a line that names `repair`; after the repair it is intact and completes with the same
result."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from crawler.storage.directory import CrawlDirectory
from crawler.testweb.oracle import crawl_digest, expected
from crawler.testweb.process import StartedWeb, start_web
from crawler.testweb.settings import to_toml
from crawler.testweb.web import Web
from tests.faults.crawlers import Crawler
from tests.live.test_storage_faults import frontiers

HOSTS, PAGES = 13, 300
DIGEST = crawl_digest(expected(Web(hosts=HOSTS, pages=PAGES)))
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def web() -> Iterator[StartedWeb]:
    with start_web(hosts=HOSTS, pages=PAGES) as started:
        yield started


def flip(path: Path) -> None:
    """Overwrite every sixth page of the file with random bytes."""
    dice = random.Random(7)
    with path.open("r+b") as file:
        for at in range(8192, path.stat().st_size, 6 * 4096):
            file.seek(at)
            file.write(dice.randbytes(2000))


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def behead(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * 200)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def delete(path: Path) -> None:
    path.unlink()


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "crawler", *map(str, words)], capture_output=True, text=True, timeout=60
    )


def repaired(folder: Path, mode: str) -> dict[str, int]:
    """Repair, verify and resume to the end, with the result of an undamaged crawl."""
    out = folder / "out"
    done = command("repair", out, "--json")
    assert done.returncode == 0, done.stderr
    checked = command("verify", out)
    assert checked.returncode == 0, checked.stdout
    summary = Crawler(folder, mode, 16, "--max-pages", "9999").wait()
    assert (summary["owed"], summary["digest"]) == (0, DIGEST)
    assert command("verify", out).returncode == 0
    assert command("repair", out).stdout.startswith("nothing to repair")
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


@pytest.mark.parametrize(
    ("mode", "damage"),
    [
        *(("async", damage) for damage in (flip, delete)),
        *(pytest.param("async", damage, marks=pytest.mark.long) for damage in (halve, behead, empty)),
        ("prefork", flip),
        ("prefork", delete),
    ],
)
@pytest.mark.parametrize("what", ["frontier", "part"])
def test_a_damaged_file_is_refused_and_repaired(
    tmp_path: Path, web: StartedWeb, mode: str, what: str, damage: Damage
) -> None:
    (tmp_path / "web.toml").write_text(to_toml(web.settings))
    out = tmp_path / "out"
    stopped = Crawler(tmp_path, mode, 16, "--max-pages", "200")
    stopped.process.communicate(timeout=60)
    assert stopped.process.returncode == 1
    before = json.loads(command("status", out, "--json").stdout)
    paths = sorted(out.glob("shard-*/frontier.sqlite")) if what == "frontier" else sorted(out.glob("parts/*.sqlite"))
    damage(paths[-1])
    refused = command("resume", out)
    if what == "frontier":
        assert refused.returncode == 3, refused.stderr
        assert len(refused.stderr.splitlines()) == 1 and "repair" in refused.stderr, refused.stderr
    found = command("verify", out)
    assert found.returncode == 3 and "repair" in found.stderr
    counts = repaired(tmp_path, mode)
    print(mode, what, damage.__name__, {key: counts[key] for key in ("kept", "recovered", "again", "owed")})
    if damage is not delete:
        assert list(out.rglob("*.broken")), "the damaged file was not kept"
    assert counts["owed"] > 0
    if what == "frontier":
        assert counts["kept"] + counts["recovered"] >= before["pages"] * 0.9, "too many pages are fetched again"


@pytest.mark.parametrize("mode", ["async", "prefork"])
def test_a_log_deleted_after_a_kill_loses_only_a_few_pages(tmp_path: Path, web: StartedWeb, mode: str) -> None:
    (tmp_path / "web.toml").write_text(to_toml(web.settings))
    crawler = Crawler(tmp_path, mode, 16, "--delay", "0.1")
    frontiers(tmp_path / "out")
    give_up_at = monotonic() + 30
    while CrawlDirectory.open_readonly(tmp_path / "out").tally().settled < 40 and monotonic() < give_up_at:
        sleep(0.02)
    os.kill(crawler.process.pid, signal.SIGKILL)
    crawler.reap()
    for log in (tmp_path / "out").rglob("*-wal"):
        log.unlink()
    refused = command("resume", tmp_path / "out", "--max-pages", "1")
    assert refused.returncode in (1, 3), refused.stderr
    repaired(tmp_path, mode)
