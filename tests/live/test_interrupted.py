"""With --json stdout carries exactly one object also when a crawl is interrupted, at any moment and in any way."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import variants
from crawler.testweb.process import StartedWeb, start_web
from crawler.testweb.settings import to_toml

TERM, INT = signal.SIGTERM, signal.SIGINT
MOMENTS = 6
LONGEST = 2.5
"""Seconds from the start within which a signal comes: some crawls are over by then."""
TWICE = (0.0, 0.002, 0.02)


@pytest.fixture(scope="module")
def web() -> Iterator[StartedWeb]:
    with start_web(hosts=13, pages=150) as started:
        yield started


def command(mode: str, folder: Path, *more: str) -> list[str]:
    words = [sys.executable, "-m", "crawler", "--mode", mode, "--profile", "demo", "--delay", "0", "--json", "-q"]
    return [*words, "--config", str(folder / "web.toml"), "--out", str(folder / "out"), "--processes", "2", *more]


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal; before that it cannot print anything."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def start(words: list[str]) -> subprocess.Popen[bytes]:
    """A crawler that has installed its signal handlers, in its own session."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    while process.poll() is None and not catches(process.pid, TERM):
        time.sleep(0.0005)
    return process


def check(process: subprocess.Popen[bytes], number: int) -> None:
    out, err = process.communicate(timeout=30)
    assert b"Traceback" not in err, err.decode()
    assert out.count(b"\n") == 1, (process.returncode, out, err.decode())
    summary = json.loads(out)
    ended = process.returncode == 0 and summary["complete"]
    assert ended or (process.returncode == 128 + number and summary["ending"] in ("stopped", "incomplete")), (
        process.returncode,
        summary,
    )


@pytest.mark.parametrize("mode", variants.names())
@pytest.mark.parametrize("to_group", [False, True], ids=["to the process", "to its group"])
def test_a_signal_at_any_moment_leaves_one_object(mode: str, to_group: bool, web: StartedWeb, tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text(to_toml(web.settings))
    dice = random.Random(f"{mode} {to_group}")
    for number, wait in enumerate((0.0, 0.05, 0.15, *(dice.uniform(0, LONGEST) for _ in range(MOMENTS)))):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        process = start(command(mode, tmp_path))
        time.sleep(wait)
        sent = (TERM, INT)[number % 2]
        if process.poll() is None:
            (os.killpg if to_group else os.kill)(process.pid, sent)
        check(process, sent)


@pytest.mark.parametrize("mode", variants.names())
def test_the_two_signals_that_timeout_sends_count_as_one(mode: str, web: StartedWeb, tmp_path: Path) -> None:
    """timeout of coreutils sends a signal to the process, then to its group."""
    (tmp_path / "web.toml").write_text(to_toml(web.settings))
    for number, (gap, options) in enumerate(zip(TWICE, ([], ["-s", "INT"], ["--foreground"]), strict=True)):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        process = start(command(mode, tmp_path))
        time.sleep(0.2 + 0.5 * number)
        if process.poll() is None:
            os.kill(process.pid, TERM)
            time.sleep(gap)
            os.killpg(process.pid, TERM)
        check(process, TERM)
        if (timeout := shutil.which("timeout")) is not None:
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            words = [timeout, *options, f"{1.5 + number * 0.4}", *command(mode, tmp_path)]
            ran = subprocess.run(words, capture_output=True, timeout=30, start_new_session=True)
            assert ran.stdout.count(b"\n") == 1, (ran, options)
            assert ran.returncode in (0, 124), ran


def test_an_interrupt_before_the_directory_exists_creates_none(web: StartedWeb, tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text(to_toml(web.settings))
    process = start(command("async", tmp_path))
    process.send_signal(TERM)
    out, err = process.communicate(timeout=30)
    summary = json.loads(out)
    assert (process.returncode, summary["ending"], summary["complete"], summary["urls"]) == (
        143,
        "stopped",
        False,
        0,
    ), err
    assert (summary["out"] is None) == (not (tmp_path / "out").exists())


def test_an_interrupt_before_a_fresh_crawl_keeps_the_old_one(web: StartedWeb, tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text(to_toml(web.settings))
    first = subprocess.run(command("async", tmp_path), capture_output=True, timeout=60)
    kept = json.loads(first.stdout)["pages"]
    process = start(command("async", tmp_path, "--fresh"))
    process.send_signal(TERM)
    process.communicate(timeout=30)
    status = [sys.executable, "-m", "crawler", "status", str(tmp_path / "out"), "--json"]
    assert json.loads(subprocess.run(status, capture_output=True, timeout=30).stdout)["pages"] == kept


@pytest.mark.parametrize("words", [["status", "."], ["verify", "."], ["export", "."]])
def test_other_commands_end_without_output(words: list[str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "crawler", *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while process.poll() is None and not catches(process.pid, TERM):
        time.sleep(0.0005)
    process.send_signal(TERM)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode in (143, 2), out) == (True, b"")
