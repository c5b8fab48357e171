"""A line on stderr for each URL that has ended, from every process that decides."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.core.messages import Settled
from crawler.core.reasons import Reason
from crawler.runtime.url_log import in_words
from crawler.testweb.process import StartedWeb, start_web
from crawler.testweb.settings import to_toml
from tests.contract import webs


@pytest.fixture(scope="module")
def web() -> Iterator[StartedWeb]:
    with start_web(hosts=webs.HOSTS, pages=webs.PAGES) as started:
        yield started


@pytest.mark.parametrize("mode", ["async", "prefork"])
def test_every_url_that_ended_has_one_line(web: StartedWeb, tmp_path: Path, mode: str) -> None:
    """As a process of its own: shards write to the stderr that their fork server had when it was started."""
    (tmp_path / "web.toml").write_text(to_toml(web.settings))
    words = ["--config", "web.toml", "--profile", "demo", "--mode", mode, "--out", "out", "-v", "--log-format", "json"]
    command = [sys.executable, "-m", "crawler", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    lines = [line for line in told if line["event"] == "url"]
    logged = {line["url"]: (line["status"], line["reason"], line["attempts"]) for line in lines}
    assert len(lines) == len(logged)
    assert logged == {url: (row.status, row.reason, row.attempts) for url, row in webs.rows(tmp_path / "out").items()}


def test_lines_are_text_where_people_read_them(
    web: StartedWeb, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    webs.crawl(tmp_path / "out", webs.settings(web, "async"), lambda run: run.log_urls("text"))
    lines = capfd.readouterr().err.splitlines()
    rows = webs.rows(tmp_path / "out")
    assert {line.split()[-1] for line in lines if line.startswith("200 ok ")} >= {
        url for url, row in rows.items() if row.reason is Reason.OK and row.attempts == 1
    }
    assert len(lines) == len(rows)


@pytest.mark.parametrize(
    ("end", "line"),
    [
        (
            Settled(1, "http://a.test/", Reason.OK, 200, 1, size=12_345, part="0001-000", seconds=0.1234),
            "200 ok              12.3 kB  123 ms  http://a.test/",
        ),
        (
            Settled(1, "http://a.test/x", Reason.REDIRECT, 301, 2, seconds=12.3, detail="http://a.test/y"),
            "301 redirect                 12.3 s  http://a.test/x after 2 attempts -> http://a.test/y",
        ),
        (
            Settled(1, "http://a.test/x", Reason.CONNECT, 0, 1, seconds=0.5, detail="refused\x1b[2J"),
            "    connect                  500 ms  http://a.test/x: refused\\x1b[2J",
        ),
        (Settled(1, "http://a.test/x", Reason.ROBOTS), "    robots                           http://a.test/x"),
    ],
)
def test_a_line_says_what_a_url_came_to(end: Settled, line: str) -> None:
    assert in_words(end) == line
