"""What a run has cost: also what processes did that lived between two samples."""

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


def test_what_is_below_us_no_more_is_not_forgotten(meter: Meter) -> None:
    """As when a fork server is killed: nobody of ours reaps its workers."""
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


def test_what_a_living_child_has_reaped_counts(meter: Meter) -> None:
    """A fork server has the CPU time of the workers that ended in its books."""
    with subprocess.Popen([sys.executable, "-c", BURN_BELOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdout.readline()
        meter.stop()
        child.stdin.write(b"\n")
    assert 0.25 <= meter.cpu_seconds < 3
