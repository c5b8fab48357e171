"""Worker processes are killed when they must be, and nobody else ever is."""

from __future__ import annotations

import subprocess
import sys
import time
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from variants.worker_process import kill

LAST = Path("/proc/sys/kernel/ns_last_pid")
IDLE = [sys.executable, "-c", "input()"]


def sleeper() -> ForkServerProcess:
    process = get_context("forkserver").Process(target=time.sleep, args=(60,), daemon=True)
    process.start()
    return process


def test_a_worker_is_killed() -> None:
    process = sleeper()
    kill(process)
    process.join(10)
    assert process.exitcode == -9
    kill(process)


def test_who_got_the_number_of_a_dead_worker_is_not_killed() -> None:
    process = sleeper()
    subprocess.run(["kill", "-9", str(process.pid)], check=True)
    assert wait([process.sentinel], 10), "the fork server has reaped it, and we have not looked yet"
    other = process_with(process.pid)
    try:
        kill(process)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.2)
    finally:
        other.communicate(b"\n")
    assert other.returncode == 0


def process_with(pid: int | None) -> subprocess.Popen[bytes]:
    """A process of that number."""
    assert pid
    for _ in range(50):
        try:
            LAST.write_text(str(pid - 1))
        except OSError:
            pytest.skip("who may not set the next process id cannot have one twice")
        other = subprocess.Popen(IDLE, stdin=subprocess.PIPE)
        if other.pid == pid:
            return other
        other.communicate(b"\n")
    pytest.skip("others are too fast for us")
