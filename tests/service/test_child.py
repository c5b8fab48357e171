"""The process of a run: what it says, what it writes, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from crawler.service.capped_log import CappedLog, earlier
from crawler.service.child import ChildExit, ChildProcess
from crawler.service.protocol import LONGEST_LINE, AnyMessage, ChildEnded, PauseRun, StopRun
from tests.service.open_service import until


async def start(tmp_path: Path, script: str, heard: list[AnyMessage] | None = None) -> ChildProcess:
    log = CappedLog(tmp_path / "run.log", 100_000)
    return await ChildProcess.start(["-c", script], log, (heard if heard is not None else []).append)


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_messages_arrive_and_lines_that_are_none_are_noted(tmp_path: Path) -> None:
    heard: list[AnyMessage] = []
    script = f"""
import sys
print('{{"type":"ended","exit_code":0,"summary":{{"pages":1}}}}')
print('no message')
print('{{"type":"unknown"}}')
print('x' * {3 * LONGEST_LINE})
print('{{"type":"ended","exit_code":1,"summary":{{}}}}', end='')
"""
    child = await start(tmp_path, script, heard)
    assert await child.ended() == ChildExit(0, None, "")
    assert heard == [ChildEnded(0, {"pages": 1}), ChildEnded(1, {})]
    assert (tmp_path / "run.log").read_text().count("a message that cannot be read") == 3


async def test_orders_reach_its_stdin(tmp_path: Path) -> None:
    script = "import sys; sys.stderr.write(sys.stdin.readline() + sys.stdin.readline()); sys.exit(7)"
    child = await start(tmp_path, script)
    child.order(PauseRun())
    child.order(StopRun())
    found = await child.ended()
    assert (found.exit_code, found.stderr) == (7, '{"op":"pause"}\n{"op":"stop"}')
    child.order(StopRun())


async def test_the_last_lines_are_kept_short_and_harmless(tmp_path: Path) -> None:
    script = r"""
import sys
for number in range(100):
    sys.stderr.write(f"line {number}\n")
sys.stderr.buffer.write(b"\x1b[31mred \xff\n" + b"y" * 5000 + b"\n")
"""
    child = await start(tmp_path, script)
    lines = (await child.ended()).stderr.split("\n")
    assert lines[0] == "line 82" and len(lines) == 20
    assert "\x1b" not in lines[-2] and "red" in lines[-2]
    assert lines[-1] == "y" * 500
    assert len((tmp_path / "run.log").read_bytes().split(b"\n")) == 103


async def test_a_signal_that_ends_it_is_told(tmp_path: Path) -> None:
    child = await start(tmp_path, "import os; os.kill(os.getpid(), 11)")
    found = await child.ended()
    assert (found.exit_code, found.signal) == (None, signal.SIGSEGV)


@pytest.mark.parametrize("end", ["it ends", "it is killed"])
async def test_nothing_of_its_group_stays_however_it_ends(tmp_path: Path, end: str) -> None:
    script = f"""
import subprocess, sys, time
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
sys.stderr.write(f"{{other.pid}}\\n")
sys.stderr.flush()
time.sleep({0 if end == "it ends" else 600})
"""
    child = await start(tmp_path, script)
    if end == "it is killed":
        await until(lambda: (tmp_path / "run.log").exists() and b"\n" in (tmp_path / "run.log").read_bytes())
        child.kill()
    found = await child.ended()
    other = int(found.stderr)
    assert not alive(child.pid)
    await until(lambda: not alive(other))


async def test_a_process_that_is_abandoned_reads_the_end_of_its_stdin(tmp_path: Path) -> None:
    child = await start(tmp_path, "import sys; sys.stdin.read(); sys.exit(5)")
    child.abandon()
    assert (await child.ended()).exit_code == 5


async def test_it_has_a_session_of_its_own_and_no_settings_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRAWLER_DELAY", "7")
    script = "import os, sys; sys.stderr.write(f\"{os.getsid(0)} {os.environ.get('CRAWLER_DELAY')}\")"
    child = await start(tmp_path, script)
    assert (await child.ended()).stderr == f"{child.pid} None"
    assert os.getsid(0) != child.pid


async def test_two_who_wait_for_one_end_both_hear_of_it(tmp_path: Path) -> None:
    child = await start(tmp_path, "")
    first, second = await asyncio.gather(child.ended(), child.ended())
    assert first == second == ChildExit(0, None, "")


def test_a_log_keeps_its_end_and_never_grows_beyond_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    log = CappedLog(path, 1000)
    for number in range(500):
        log.write(b"%09d\n" % number)
        assert sum(one.stat().st_size for one in (path, earlier(path)) if one.exists()) <= 1000
    log.close()
    CappedLog(path, 1000).write(b"after\n")
    kept = earlier(path).read_bytes() + path.read_bytes()
    assert kept.endswith(b"000000499\nafter\n") and len(kept) > 500
    CappedLog(path, 1000).write(b"z" * 5000)
    assert path.read_bytes() == b"z" * 500


def test_a_log_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    log = CappedLog(tmp_path / "gone" / "run.log", 1000)
    log.write(b"lost\n")
    log.close()
    assert not (tmp_path / "gone").exists()
