"""Failpoints fire where, when and as often as their rules say, and an invalid rule is refused in one line."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crawler.errors import UsageError
from crawler.system.failpoints import POINTS, parse, passing
from tests.effort import effort

ROOT = Path(__file__).resolve().parents[2]


def fired(rule: str, passes: int = 10) -> list[int]:
    """The numbers of the passes at which an error is raised."""
    point = parse(f"store.flush={rule}")["store.flush"]
    found = []
    for number in range(1, passes + 1):
        try:
            point.pass_by()
        except OSError as error:
            assert error.errno == errno.ENOSPC
            found.append(number)
    return found


def test_a_failpoint_fires_each_time_or_at_the_passes_of_its_rule() -> None:
    assert fired("ENOSPC") == list(range(1, 11))
    assert fired("ENOSPC@3") == [3]
    assert fired("ENOSPC@8+") == [8, 9, 10]
    assert 300 < len(fired("ENOSPC@0.5", 1000)) < 700
    assert fired("ENOSPC@0.0") == []


def test_with_a_log_a_failpoint_fires_once_across_all_processes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert [fired(f"ENOSPC log={log}") for _ in range(2)] == [[1], []]
    moment, process, name = log.read_text().split()
    assert (float(moment) > 0, int(process), name) == (True, os.getpid(), "store.flush")


def test_the_action_kill_sends_sigkill() -> None:
    program = "from crawler.system.failpoints import passing\n" + (
        "passing('store.put')\nprint('first')\npassing('store.put')\nprint(2)"
    )
    environment = os.environ | {"CRAWLER_FAILPOINTS": "store.put=kill@2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-uc", program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-9, "first\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("store.flish=kill", "did you mean 'store.flush'?"),
        ("store.flush=explode", "the action must be kill, sleep or an error"),
        ("fetch.done=EIO", "no disk is near"),
        ("store.flush=kill@x", "expected ACTION"),
        ("store.flush", "expected ACTION"),
        ("store.flush=kill@1.2.3", "not a number"),
        ("nowhere=kill", "there are:"),
    ],
)
def test_invalid_rules_are_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(why)):
        parse(text)


def test_the_command_line_refuses_invalid_rules_in_one_line_and_warns_when_failpoints_are_set(tmp_path: Path) -> None:
    def run(failpoints: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "crawler",
            "http://127.0.0.1:9/",
            "--no-robots",
            "--out",
            str(tmp_path / "out"),
        ]
        environment = os.environ | {"CRAWLER_FAILPOINTS": failpoints, "PYTHONPATH": str(ROOT), "CRAWLER_ATTEMPTS": "1"}
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    refused = run("store.flush=explode")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "note: faults are set on purpose: CRAWLER_FAILPOINTS=fetch.done=sleep~0" in run("fetch.done=sleep~0").stderr


def test_every_failpoint_is_used_in_the_crawler() -> None:
    passed: set[str] = set()
    for folder in ("crawler", "variants"):
        for path in (ROOT / folder).rglob("*.py"):
            passed |= set(re.findall(r'\bpassing\("([\w.]+)"\)', path.read_text()))
    assert passed == set(POINTS)


def test_a_failpoint_that_is_not_set_costs_almost_nothing() -> None:
    def pass_by() -> None:
        for _ in range(100_000):
            passing("fetch.done")

    _, units = effort(pass_by)
    assert units < 40
