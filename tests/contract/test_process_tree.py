"""The CPU time of a run, including processes that lived only between two samples."""

from __future__ import annotations

import subprocess
import sys

import pytest

from crawler.metrics.process_tree import Meter

# /proc counts in hundredths of a second and rounds down, so what burns 0.3 s is seen with 0.25 at least.
BURN = "from time import process_time\nwhile process_time() < 0.3: pass"
BURN_THEN_WAIT = f"{BURN}\nprint(flush=True); import sys; sys.stdin.readline()"
BURN_BELOW = (
    f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}]); print(flush=True); sys.stdin.readline()"
)


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    monkeypatch.setattr("crawler.metrics.process_tree.PERIOD", 600.0)
    return Meter()


def test_a_child_that_died_between_two_samples_counts(meter: Meter) -> None:
    subprocess.run([sys.executable, "-c", BURN], check=True)
    meter.stop()
    assert 0.25 <= meter.cpu_seconds < 3


def test_a_child_that_was_seen_alive_and_reaped_counts_once(meter: Meter) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BURN_THEN_WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdout.readline()
        meter.sample()
        alive = meter.cpu_seconds
        child.stdin.write(b"\n")
    meter.stop()
    assert 0.25 <= alive <= meter.cpu_seconds < alive + 0.2


def test_a_descendant_that_is_no_longer_below_us_still_counts(meter: Meter) -> None:
    """For example when the fork server is killed: its workers are reaped by another process."""
    below = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN_THEN_WAIT!r}])"
    with subprocess.Popen([sys.executable, "-c", below], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdout.readline()
        meter.sample()
        alive = meter.cpu_seconds
        child.kill()
        child.wait()
        meter.sample()
        subprocess.run([sys.executable, "-c", BURN], check=True)
        meter.stop()
    assert alive >= 0.25
    assert alive + 0.25 <= meter.cpu_seconds < alive + 0.6


def test_processes_reaped_by_a_living_child_count(meter: Meter) -> None:
    """The CPU time of workers that ended is added to that of the fork server."""
    with subprocess.Popen([sys.executable, "-c", BURN_BELOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdout.readline()
        meter.stop()
        child.stdin.write(b"\n")
    assert 0.25 <= meter.cpu_seconds < 3
