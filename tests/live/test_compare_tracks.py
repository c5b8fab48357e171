"""Trials of arms on another loop, another interpreter, over TLS, with a number of processes: each as it was asked."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

import variants
from crawler.cli.compare import compare
from crawler.cli.signals import Signals
from crawler.compare import raw_logs, report, session, session_files, trial, workload
from crawler.compare.arms import Asked, arms_for
from crawler.compare.records import Arm
from crawler.compare.verify import verify
from crawler.errors import UsageError
from tests.live.trials import FLAT, failed, run

HERE = {"cpu": "a test"}


def wrapped(path: Path, log: Path) -> str:
    """An interpreter that notes what it is asked to run."""
    path.write_text(f'#!/bin/sh\necho "$2" >> {log}\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_a_session_over_tls_on_asyncio_with_two_interpreters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "environment", lambda: dict(HERE))
    folder, log = tmp_path / "c", tmp_path / "log"
    other = wrapped(tmp_path / "python", log)
    arms = arms_for(Asked(("async",), loops=("asyncio",), pythons=(other,)))
    version = arms[0].version
    assert [arm.name for arm in arms] == ["async on asyncio", f"async on asyncio {version}", "async on asyncio again"]
    plan = session.plan("smoke", arms, seed=1, command="", lenient=True, tls=True)
    assert {condition.workload for condition in plan.conditions} == {workload.FLAT}
    short = msgspec.structs.replace(FLAT, tls=True)
    session_files.begin(folder, msgspec.structs.replace(plan, conditions=(short,), blocks={"headline": 1}))
    assert session.conduct(folder)
    trials = session_files.read_trials(folder)
    assert [one.failed for one in trials] == [[]] * 6, "correct on every arm, and no request twice"
    assert not verify(folder)
    for one in trials:
        raw = raw_logs.read(raw_logs.path_of(folder, one.order), one.raw, raw_logs.RawTrial)
        assert raw.settings.loop == "asyncio"
        assert {entry.scheme for entry in raw.entries} == {"https"}
        assert one.metrics["raw_rate"] > 0 and one.metrics["server_rate"] > 0 and one.metrics["start_cpu"] > 0
    assert log.read_text().splitlines().count("crawler") == 3, "its two trials, and what it spends on starting"
    report.write(folder)
    for name in ("report.html", "report.md"):
        assert f"native on asyncio {version}" in (folder / name).read_text()
    assert f"native on asyncio {version}" in report.verdicts(folder)[3]
    written = list(csv.DictReader(report.table(plan, trials).splitlines()))
    assert {(row["client"], row["loop"], row["python"]) for row in written} == {("native", "asyncio", version)}
    answer = {"implementation": "CPython", "version": "3.15.0", "build": "3.15.0", "free_threaded": False, "gil": True}
    told = json.dumps(answer | {"recent": True, "missing": [], "versions": {}})
    Path(other).write_text(f"#!/bin/sh\necho '{told}'\n")
    with pytest.raises(UsageError, match=f"python {other}: CPython {version} .* became CPython 3.15.0"):
        session.conduct(folder)


@pytest.mark.parametrize("mode", variants.names())
def test_in_an_open_loop_fetches_start_by_the_schedule(tmp_path: Path, mode: str) -> None:
    offered = 80.0
    opened = msgspec.structs.replace(FLAT, pages=240, arrivals=0.7, sweep="open loop")
    found = run(tmp_path, opened, rates=trial.Rates(offered=offered), arm=Arm(mode, mode, "native"))
    assert not failed(found), found.gates
    assert found.metrics["offered_rate"] == offered
    assert found.metrics["answer_rate"] == pytest.approx(offered, rel=0.1), "by the server's clock"
    assert found.metrics["response_p50"] > 25, "the latency of the web is lognormal around 50 ms"


def test_what_is_offered_is_a_share_of_the_peaks_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "environment", lambda: dict(HERE))
    arms = arms_for(Asked(("async",), loops=("uvloop",)))
    plan = session.plan("smoke", arms, seed=1, command="", lenient=True, open_loop=True)
    assert [one.sweep for one in plan.conditions if one.arrivals] == ["open loop"]
    opened = msgspec.structs.replace(FLAT, arrivals=0.7, sweep="open loop")
    short = msgspec.structs.replace(plan, conditions=(FLAT, opened), blocks={"headline": 1, "open loop": 1})
    session_files.begin(tmp_path / "c", short)
    assert session.conduct(tmp_path / "c")
    trials = session_files.read_trials(tmp_path / "c")
    assert [one.condition for one in trials] == [FLAT] * 4 + [opened] * 2, "the open loop comes last"
    least = min(one.metrics["steady_rate"] for one in trials[2:4])
    assert [one.metrics["offered_rate"] for one in trials[4:]] == [pytest.approx(0.7 * least, rel=1e-4)] * 2
    assert not verify(tmp_path / "c")
    report.write(tmp_path / "c")
    assert "offered to every engine" in (tmp_path / "c" / "report.md").read_text()


@pytest.mark.parametrize("mode", ["processes", "prefork"])
def test_slots_that_cannot_be_shared_evenly_have_all_processes_that_were_asked_for(tmp_path: Path, mode: str) -> None:
    found = run(tmp_path, msgspec.structs.replace(FLAT, workers=3), arm=Arm(mode, mode, "native"))
    assert not failed(found), found.gates
    assert found.metrics["processes"] > 3, "and their parent"
    assert not next(gate.detail for gate in found.gates if gate.name == "G5").startswith("warning"), found.gates


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--track", "same", "--clients", "curl"], "give one of them"),
        (["--track", "best"], "unknown track 'best'"),
        (["--loops", "trio"], "unknown loop 'trio'"),
        (["--python", "no-such-python"], "there is no such program"),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str], why: str) -> None:
    done = CliRunner().invoke(compare, words, obj=Signals(), standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert why in str(done.exception)
