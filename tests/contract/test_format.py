"""Crawl directories of other versions: one written by an earlier release in this format is read, other formats are
refused."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from crawler.settings import Settings
from crawler.storage.directory import CrawlDirectory
from crawler.storage.manifest import FORMAT, OLDEST
from crawler.storage.verify import audit

GOLDEN = Path(__file__).parents[1] / "golden" / "format-3"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A crawl as the first release of this format wrote it, with 2 of 40 seeds fetched."""
    out = tmp_path / "out"
    for name, script in (("shard-0000/frontier.sqlite", "frontier.sql"), ("parts/0001-000.sqlite", "part.sql")):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(out / name)) as connection:
            connection.executescript((GOLDEN / script).read_text())
            connection.execute("PRAGMA journal_mode=WAL")
    (out / "crawl.json").write_bytes((GOLDEN / "crawl.json").read_bytes())
    (out / "lock").touch()
    return out


def test_a_crawl_of_an_earlier_release_is_read_and_resumed(kept: Path) -> None:
    found = audit(CrawlDirectory.open_readonly(kept))
    assert (found.wrong, found.pages) == (0, 2)
    command = [sys.executable, "-m", "crawler", "resume", str(kept), "--json", "-q", "--max-pages", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    summary = json.loads(ended.stdout)
    assert (ended.returncode, summary["pages"], summary["digest"]) == (1, 2, found.digest)


def test_a_crawl_without_a_scope_keeps_the_default_scope_of_its_release(kept: Path) -> None:
    assert "scope" not in json.loads((kept / "crawl.json").read_text())["settings"]
    assert CrawlDirectory.open_readonly(kept).settings.scope == "host"
    new = CrawlDirectory.create(kept.parent / "new", Settings(), demo=False, fresh=False)
    new.close()
    assert CrawlDirectory.open_readonly(new.path).settings.scope == "site"
    assert new.manifest.settings["scope"] == "site"


@pytest.mark.parametrize("number", [OLDEST - 1, FORMAT + 1])
@pytest.mark.parametrize("command", ["resume", "status", "verify", "export", "repair"])
def test_another_format_is_refused_with_one_line(kept: Path, number: int, command: str) -> None:
    manifest = json.loads((kept / "crawl.json").read_text()) | {"format": number}
    (kept / "crawl.json").write_text(json.dumps(manifest))
    ended = subprocess.run(
        [sys.executable, "-m", "crawler", command, str(kept)], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert f"format {number}" in line and f"formats {OLDEST} to {FORMAT}" in line
    assert ("newer" if number > FORMAT else "older") in line, line
