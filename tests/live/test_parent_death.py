"""Processes that end with the one that started them, at once and also where that is gone before they have begun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from crawler.system.end_with_parent import PARENT

PATIENCE = 120
BEGIN = "import os, signal, crawler.system.end_with_parent\n"
FORKS = BEGIN + "os.write(1, b'forked\\n' if os.fork() else b'0\\n')\nsignal.pause()"


def run(script: str, parent: int) -> subprocess.Popen[bytes]:
    """A process that takes this pid for that of its parent."""
    return subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, PARENT: str(parent)}, stdout=subprocess.PIPE
    )


def test_a_fork_server_whose_parent_is_gone_does_not_begin() -> None:
    with run(f"{BEGIN}print('begun')", parent=os.getppid()) as process:
        out, _ = process.communicate(timeout=PATIENCE)
    assert (out, process.returncode) == (b"", -signal.SIGKILL)
    with run(f"{BEGIN}print('begun')", parent=os.getpid()) as process:
        out, _ = process.communicate(timeout=PATIENCE)
    assert (out, process.returncode) == (b"begun\n", 0)


def test_what_a_fork_server_forks_ends_with_it() -> None:
    with run(FORKS, parent=os.getpid()) as process:
        assert process.stdout is not None
        try:
            lines = sorted(process.stdout.readline() for _ in range(2))
        finally:
            process.kill()
        assert process.communicate(timeout=PATIENCE)[0] == b"", "the child held the pipe until it ended"
    assert lines == [b"0\n", b"forked\n"]


def test_a_crawl_of_a_service_that_is_gone_does_not_begin(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(theirs)
    with os.fdopen(ours, "rb") as stdin:
        command = [sys.executable, "-m", "crawler", "supervised", str(tmp_path / "crawl"), "--run", "none"]
        ended = subprocess.run(command, stdin=stdin, start_new_session=True, capture_output=True, timeout=PATIENCE)
    assert (ended.returncode, ended.stderr) == (-signal.SIGKILL, b"")
