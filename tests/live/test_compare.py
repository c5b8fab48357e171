"""Whole trials on loopback: honest ones pass every gate, each planted fault is found by the gate that is for it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from click.testing import CliRunner

from crawler.cli.compare import compare
from crawler.cli.signals import Signals
from crawler.compare import gates, headroom, raw_logs, report, session, session_files, trial, workload
from crawler.compare.design import schedule
from crawler.compare.records import METRICS, Arm, Condition, Gate, Trial
from crawler.compare.verify import verify
from crawler.errors import Locked, UsageError
from crawler.system.file_lock import FileLock
from crawler.testweb.process import StartedWeb
from crawler.testweb.settings import Listening
from tests.live.trials import FLAT, HERE, failed, run, tiny

ROOT = Path(__file__).resolve().parents[2]
POLITE = Condition(
    sweep="politeness", workload="polite", pages=150, hosts=13, concurrency=16, latency=0.0, payload=0, delay=0.02
)
Flags = Callable[[Arm, Condition, Path, Path], list[str]]


@pytest.fixture(autouse=True)
def same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a session is that of the test: others may edit the code beside it."""
    monkeypatch.setattr(session, "environment", lambda: dict(HERE))


def changed(monkeypatch: pytest.MonkeyPatch, change: Callable[[list[str]], list[str]]) -> None:
    """Plant a fault in the command line of every trial."""
    honest: Flags = workload.flags

    def faulty(arm: Arm, condition: Condition, configuration: Path, out: Path) -> list[str]:
        return change(honest(arm, condition, configuration, out))

    monkeypatch.setattr(workload, "flags", faulty)


def with_value(flag: str, value: str) -> Callable[[list[str]], list[str]]:
    def change(told: list[str]) -> list[str]:
        place = told.index(flag)
        return [*told[: place + 1], value, *told[place + 2 :]]

    return change


# ---- a session -------------------------------------------------------------------------------------------------------


class Finished(NamedTuple):
    folder: Path
    told: list[session.Progress]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A tiny session, run once."""
    folder, told = tmp_path_factory.mktemp("finished") / "c", list[session.Progress]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "environment", lambda: dict(HERE))
        session_files.begin(folder, tiny())
        assert session.conduct(folder, on_progress=told.append)
    return Finished(folder, told)


def test_a_tiny_session_is_whole_and_valid(finished: Finished) -> None:
    folder, told = finished
    trials = session_files.read_trials(folder)
    assert [one.order for one in trials] == [0, 1, 2, 3, 4, 5]
    assert [one.valid for one in trials] == [False, False, True, True, True, True]
    assert all({gate.name for gate in one.gates} == {f"G{number}" for number in range(1, 13)} for one in trials)
    assert not verify(folder)
    assert (told[0].done, told[-1].done, told[-1].left) == (0, 6, 0)
    for one in trials:
        absent = {"overhead_p99", "heartbeat_p99", "least_rate", "first_byte_p50", "drift", "unsynced"}
        absent |= {"offered_rate", "response_p50", "response_p99"}
        assert one.metrics.keys() | absent == METRICS.keys() | {"unsynced"}
        assert one.raw == hashlib.sha256(raw_logs.path_of(folder, one.order).read_bytes()).hexdigest()
        assert 0 < one.metrics["overhead_p50"] < 1000 * one.seconds
        assert 0 < one.metrics["steady_rate"] <= 8 / 0.05 * 1.1
        assert one.metrics["cold_rate"] < one.metrics["steady_rate"]
        assert 0 < one.metrics["startup"] < one.seconds
        assert one.metrics["memory"] > 1e7
    assert len({one.metrics["raw_rate"] for one in trials}) == 3, "the raw loop runs once in each block"
    assert {path.name for path in folder.iterdir()} >= {"session.json", "trials.jsonl", "lock"}
    assert not (folder / "work").exists()


def command(*words: str) -> tuple[int, str]:
    """Exit code and output of `compare ...`."""
    done = CliRunner().invoke(compare, words, obj=Signals(), standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, done.output


def test_the_verdict_table_has_a_row_per_engine_with_its_client(finished: Finished) -> None:
    head, units, *rows, predicted = report.verdicts(finished.folder)
    assert predicted.startswith("predicted: async again equivalent to async (headline): open")
    assert units.split()[0] == "range", "two blocks have no interval"
    assert head.split()[:3] == ["Engine", "Client", "Pages/s"] and "Verdict" in head
    assert [row.split()[:2] for row in rows] == [["async", "aiohttp"], ["async", "again"]]


def test_a_session_without_trials_has_no_report(tmp_path: Path) -> None:
    session_files.begin(tmp_path / "c", tiny())
    done = CliRunner().invoke(compare, ["report", str(tmp_path / "c")], obj=Signals(), standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert command("verify", str(tmp_path / "c"))[0] == 1


def test_a_cut_session_goes_on_where_it_was(tmp_path: Path) -> None:
    folder, told = tmp_path / "c", list[session.Progress]()
    session_files.begin(folder, tiny())
    assert not session.conduct(folder, on_progress=told.append, stopped=lambda: len(told) > 2)
    kept = (folder / "trials.jsonl").read_bytes()
    assert len(session_files.read_trials(folder)) == 2
    assert verify(folder) == ["4 of 6 trials are still owed"]
    with (folder / "trials.jsonl").open("ab") as file:
        file.write(b'{"block": 1, "ord')  # a kill in the middle of a line
    assert session.conduct(folder)
    assert (folder / "trials.jsonl").read_bytes().startswith(kept)
    assert [one.order for one in session_files.read_trials(folder)] == [0, 1, 2, 3, 4, 5]
    assert not verify(folder)
    assert session.conduct(folder), "nothing is owed"


def test_unlike_environments_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session_files.begin(tmp_path / "c", tiny())
    monkeypatch.setattr(session, "environment", lambda: {"cpu": "another", "cores": "2"})
    with pytest.raises(UsageError, match="cpu: a test became another"):
        session.conduct(tmp_path / "c")
    assert not (tmp_path / "c" / "trials.jsonl").exists()


def test_one_process_at_a_time_and_no_other_folder(tmp_path: Path) -> None:
    session_files.begin(tmp_path / "c", tiny())
    lock = FileLock(tmp_path / "c" / "lock")
    lock.acquire("c")
    with pytest.raises(Locked):
        session.conduct(tmp_path / "c")
    lock.release()
    with pytest.raises(UsageError, match="compare resume"):
        session_files.begin(tmp_path / "c", tiny())
    with pytest.raises(UsageError, match="not a comparison"):
        session_files.read_session(tmp_path / "nothing")


def test_records_that_are_not_the_plan_are_found(tmp_path: Path) -> None:
    session_files.begin(tmp_path, tiny())
    first, second = schedule(tiny())[:2]
    good = Trial(
        block=0,
        order=0,
        arm=first.arm.name,
        condition=FLAT,
        started_at=0.0,
        seconds=1.0,
        warm_up=True,
        gates=(),
        metrics={},
    )
    other = msgspec.structs.replace(good, order=1, arm=first.arm.name)
    assert second.arm != first.arm
    (tmp_path / "trials.jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in (good, good, other)))
    assert verify(tmp_path) == [
        "line 2: trial 0 is there twice",
        f"line 3: trial 1 ({first.arm.name}, block 0) is not the planned one",
        "4 of 6 trials are still owed",
    ]


def test_gates_of_the_machine_that_only_warned_are_told_once(finished: Finished) -> None:
    trial = session_files.read_trials(finished.folder)[-1]
    warning = Gate("G8", True, "warning: the server was busy")
    twice = [msgspec.structs.replace(trial, gates=(Gate("G1", True, "fine"), warning))] * 2
    assert gates.warnings(twice) == ["G8 in 2 trials: the server was busy"]


# ---- faults in a crawler ---------------------------------------------------------------------------------------------


def test_an_engine_that_drops_pages_is_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda told: [*told, "--exclude", r"page-7\.html"])
    found = run(tmp_path)
    assert failed(found) == {"G1", "G2", "G3"}
    assert not found.valid
    assert found.wrong
    assert "1 missing: http://flat.demo.test/page-7.html attempt 1" in " ".join(found.failed)


def test_an_engine_at_half_the_concurrency_is_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, with_value("--concurrency", "4"))
    for number in range(4):  # on a machine that has other work to do the CPU may be the limit, and G9 says so
        (folder := tmp_path / str(number)).mkdir()
        found = run(folder, strict=True)
        assert failed(found) <= {"G5", "G9"}
        assert not found.wrong
        if "G5" in failed(found) or "G9" not in failed(found):
            break
    else:
        pytest.skip("other work uses this machine, so the CPU was the limit")
    assert "G5" in failed(found)


def test_an_engine_that_asks_too_many_at_once_is_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda told: with_value("--per-host", "16")(with_value("--concurrency", "16")(told)))
    assert {"G5", "G6"} <= failed(run(tmp_path, strict=True))


def test_an_engine_that_ignores_the_delay_is_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, with_value("--delay", "0.005"))
    assert "G6" in failed(run(tmp_path, POLITE))


def test_a_crawl_with_a_limit_that_depends_on_order_is_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda told: [*told, "--max-depth", "9"])
    assert failed(run(tmp_path)) == {"G4"}


def test_a_crawl_that_does_not_count_its_attempts_is_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = workload.write_configuration

    def faulty(condition: Condition, web: StartedWeb, path: Path) -> None:
        honest(condition, web, path)
        path.write_text(path.read_text().replace('attempt_header = "X-Attempt"', 'attempt_header = ""'))

    monkeypatch.setattr(workload, "write_configuration", faulty)
    found = run(tmp_path, msgspec.structs.replace(FLAT, errors=0.05))
    assert {"G1", "G3"} <= failed(found), found.gates


def test_errors_of_the_web_are_no_fault(tmp_path: Path) -> None:
    found = run(tmp_path, msgspec.structs.replace(FLAT, errors=0.2))
    assert not failed(found)
    told = next(gate.detail for gate in found.gates if gate.name == "G7")
    assert int(told.split()[0]) > 1, told


def test_a_server_slowed_below_headroom_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "serve", serve_slowly)
    (tmp_path / "load").mkdir()
    able = headroom.capacity(FLAT, tmp_path / "load")
    found = run(tmp_path, strict=True, rates=trial.Rates(server=able))
    assert "G8" in failed(found) <= {"G5", "G8", "G9"}
    assert able is not None
    assert "server-limited" in next(gate.detail for gate in found.gates if gate.name == "G8")
    assert not found.wrong, "the machine is to blame, not the crawler"


def serve_slowly(condition: Condition, log: Path) -> StartedWeb:
    """The web of a condition by a server that burns 5 ms for each answer."""
    code = (
        "import time; from crawler.testweb.server import WebServer; from crawler.testweb.commands import testweb\n"
        "honest = WebServer.answer\n"
        "def slow(*asked):\n"
        "    until = time.thread_time() + 0.005\n"
        "    while time.thread_time() < until: pass\n"
        "    return honest(*asked)\n"
        "WebServer.answer = slow\n"
        "testweb()\n"
    )
    told = [
        "serve",
        "--until-eof",
        f"--log={log}",
        f"--flat={condition.pages}",
        "--latency=50",
        f"--spread={condition.spread}",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *told, f"--size={condition.payload}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout
    return StartedWeb(process, msgspec.json.decode(process.stdout.readline(), type=Listening).settings)


def test_a_crash_is_a_trial_that_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, with_value("--client", "nonsense"))
    found = run(tmp_path)
    assert (found.metrics, found.valid, failed(found)) == ({}, False, {"G1"})
    assert "exit code 2: error: --mode async cannot use the client 'nonsense'" in found.gates[0].detail


def test_a_crawl_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "patience", lambda condition: 0.3)
    found = run(tmp_path)
    assert "did not end in 0 s" in found.gates[0].detail
    assert not left_over(tmp_path)


# ---- processes -------------------------------------------------------------------------------------------------------


def left_over(folder: Path) -> list[bytes]:
    """The living processes whose command line names a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(process.read_bytes())
        except OSError:
            continue
    return [line for line in found if str(folder).encode() in line]


def test_the_cost_of_orphans_is_counted(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}])"
    measured = (
        "import sys, msgspec; from pathlib import Path; from crawler.compare.launch import launch;"
        f"print(msgspec.json.encode(launch([sys.executable, '-c', {orphan!r}], Path('out'), Path('err'))).decode())"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", measured], cwd=tmp_path, env=env, capture_output=True, check=True)
    cost = msgspec.json.decode(done.stdout)
    assert cost["exit_code"] == 0
    assert cost["cpu"] > 0.4
    assert cost["ended_at"] - cost["started_at"] < cost["cpu"], "the orphan outlived the command"


def test_an_interrupt_ends_everything_and_keeps_what_there_is(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    command = [
        sys.executable,
        "-m",
        "crawler",
        "compare",
        "--preset",
        "smoke",
        "--modes",
        "async",
        "--out",
        str(folder),
    ]
    with subprocess.Popen(command, stdout=-1, stderr=-1, cwd=ROOT, text=True) as process:
        deadline = time.monotonic() + 30
        while not (folder / "work" / "crawl").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert f"go on      python -m crawler compare resume {folder}" in out
    assert not left_over(folder)
    assert {path.name for path in folder.iterdir()} <= {"session.json", "preregistration.json", "trials.jsonl", "lock"}
    begun = session_files.read_session(folder)
    assert begun.preset == "smoke"
    assert f"preregistered: sha256 {begun.preregistration}\n" in err
    assert hashlib.sha256((folder / "preregistration.json").read_bytes()).hexdigest() == begun.preregistration
