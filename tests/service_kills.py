"""`python -m tests.service_kills [KILLS [SEED [SECONDS]]]`: a service that is killed again and again loses nothing.

Four runs in four modes, six schedules, and jobs that share hosts, on the demo web. At random moments the service, some
of its children, or both get SIGKILL; then the service is started again. Checked on the way and at the end:

- SECONDS (1) after a kill no process of a run is left (the service is stopped while its children are listed, so none
  is missed);
- every run ends, with the digest of a crawl that nothing disturbed, and by changes of state that the table knows;
- two of the jobs crawl again: their runs make one generation after another, none twice and none left out;
- each tick is a run or counted in a row, and no tick is two runs;
- the log of the web shows each host asked by one run at a time: the delay between two requests of a host is kept over
  all runs together.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import asdict

from crawler.service.core.schedules import calendar_of
from crawler.service.core.states import FINAL, TABLE, RunState
from crawler.service.database import FILE, ServiceDatabase
from crawler.service.records import Overlap, RunRecord
from crawler.settings import merge_layers
from crawler.storage.generations import generations
from crawler.testweb.hosts import Part
from crawler.testweb.process import start_web
from crawler.testweb.referee import judge
from crawler.testweb.settings import WebSettings
from crawler.testweb.web import Web
from tests.contract.webs import crawl
from tests.service.killed_service import KillPlan

WEB = Web(hosts=20, pages=500)
PLAIN = [name for name, host in WEB.hosts.items() if host.part is Part.PLAIN]
DELAY = 0.02
MODES = ("async", "threads", "processes", "prefork")
SCHEDULES: tuple[tuple[str, Overlap], ...] = (
    ("a", "skip"),
    ("b", "queue"),
    ("c", "cancel"),
    ("d", "allow"),
    ("e", "queue"),
    ("f", "skip"),
)
ALIVE = 4
RECRAWLS = ("b", "d")
LIFE = (0.1, 4.0)
DEAD_AFTER = 1.0  # on a machine with nothing else to do
READY_AFTER = 60.0
DRAINED_AFTER = 240.0


class KillReport(NamedTuple):
    """What a campaign has seen: kills of each kind, runs, processes that runs needed, ticks, the slowest death of a
    child after a kill of its service, in seconds."""

    kills: Counter[str]
    runs: int
    starts: int
    ticks: int
    slowest_death: float


def jobs(web: WebSettings) -> dict[str, dict[str, Any]]:
    """Four jobs with hosts of their own, and two that share hosts with them."""
    hosts = {"a": (0, 1), "b": (2, 3), "c": (4, 5), "d": (6, 7), "e": (1, 2), "f": (5, 6)}
    usual = {**asdict(web), "delay": DELAY, "concurrency": 8, "processes": 2, "report": False, "scope": "host"}
    del usual["ca_file"]
    return {
        name: {**usual, "seeds": [f"http://{PLAIN[number]}/" for number in numbers], "mode": MODES[place % len(MODES)]}
        for place, (name, numbers) in enumerate(hosts.items())
    }


class KilledService:
    """The service of one data folder, as often as it is started."""

    def __init__(self, data: Path, plan: KillPlan) -> None:
        self._data = data
        self._plan = plan
        self.process: subprocess.Popen[bytes] | None = None
        self._ready = 0  # how often one was ready before the last start

    def start(self, drain: bool = False) -> subprocess.Popen[bytes]:
        """Start it; with `drain` it ends when every run has ended."""
        plan = msgspec.structs.replace(self._plan, drain=drain)
        told = msgspec.json.encode(plan).decode()
        command = [sys.executable, "-m", "tests.service.killed_service", str(self._data), told]
        with (self._data / "service.log").open("ab") as log:
            self._ready = (self._data / "service.log").read_bytes().count(b"ready\n")
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return self.process

    def wait_until_ready(self) -> None:
        """Wait until the last one that was started is ready."""
        give_up_at = monotonic() + READY_AFTER
        while (self._data / "service.log").read_bytes().count(b"ready\n") <= self._ready:
            assert monotonic() < give_up_at, (self._data / "service.log").read_text()
            sleep(0.01)

    def kill(self, what: str, dice: random.Random, dead_after: float) -> float:
        """Kill the service, some of its children, or both; returns after how many seconds the last child was dead."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        children = _children(self.process.pid)
        victims = [child for child in children if what == "both" or dice.random() < 0.5]
        if what != "service":
            for child in victims:
                os.kill(child, signal.SIGKILL)
        if what == "children":
            os.kill(self.process.pid, signal.SIGCONT)
            return 0.0
        self.process.kill()
        began = monotonic()
        self.process.wait()
        while left := _left(children):
            shown = {pid: _command(pid) for pid in left}
            assert monotonic() - began < dead_after, f"processes of runs outlive the service: {shown}"
            sleep(0.01)
        return monotonic() - began


def _stat(entry: Path) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none where the process is gone."""
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return "gone"


def _processes() -> list[tuple[int, list[str]]]:
    found = [(int(entry.name), _stat(entry)) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [(pid, stat) for pid, stat in found if stat and stat[0] not in "ZX"]


def _children(parent: int) -> list[int]:
    return [pid for pid, stat in _processes() if int(stat[1]) == parent]


def _left(leaders: list[int]) -> list[int]:
    """The processes that are in the session of one of these, or are one of these."""
    return [pid for pid, stat in _processes() if pid in leaders or int(stat[3]) in leaders]


def play(kills: int, seed: int, folder: Path, dead_after: float = DEAD_AFTER) -> KillReport:
    """Kill so many times, then let all runs end, and check; processes must be dead after so many seconds. Raises
    AssertionError."""
    dice = random.Random(seed)
    seen: Counter[str] = Counter()
    times, slowest = list[float](), 0.0
    log, data = folder / "web.log", folder / "data"
    data.mkdir()
    with start_web(hosts=20, pages=500, log=log) as web:
        settings = jobs(web.settings)
        digests = {name: crawl(folder / name, merge_layers(keys)).digest for name, keys in settings.items()}
        began = monotonic()
        service = KilledService(data, KillPlan(settings, SCHEDULES, ALIVE, RECRAWLS))
        service.start()
        for _ in range(kills):
            if dice.random() < 0.8:  # the others are killed while they start
                service.wait_until_ready()
            sleep(dice.uniform(*LIFE))
            what = dice.choice(("service", "service", "children", "both"))
            times.append(monotonic())
            slowest = max(slowest, service.kill(what, dice, dead_after))
            seen[what] += 1
            if what != "children":
                service.start()
        times.append(monotonic())
        service.kill("service", dice, dead_after)
        drained = service.start(drain=True)
        assert drained.wait(DRAINED_AFTER) == 0, (data / "service.log").read_text()
    verdict = judge(log, WEB, DELAY, kills=times, since=began)
    assert (verdict.gaps, verdict.overlaps) == ([], []), "a host was asked by two runs at once"
    assert (verdict.strangers, verdict.disallowed) == ([], [])
    runs, starts = check_runs(data, digests)
    return KillReport(seen, runs, starts, check_ticks(data), slowest)


def check_runs(data: Path, digests: dict[str, str]) -> tuple[int, int]:
    """Every run has ended well, by changes that the table knows; returns how many there are, and their processes."""
    database = ServiceDatabase(data / FILE)
    runs = database.runs.where()
    for run in runs:
        changes = database.transitions(run.id)
        states = [change.state for change in changes]
        assert states[0] is RunState.QUEUED and sum(state in FINAL for state in states) == 1, (run, states)
        for before, after in pairwise(states):
            assert after in TABLE[before].values() or (before, after) == (RunState.PAUSED, RunState.QUEUED), states
        if run.state is RunState.SUCCEEDED:
            assert run.summary is not None and run.summary["digest"] == digests[run.job_name], (run, digests)
        else:
            by_schedule = run.state in (RunState.CANCELLED, RunState.SKIPPED) and run.schedule is not None
            assert by_schedule and run.reason == "overlap", f"{run}\n{changes}"
    database.close()
    assert any(run.state is RunState.SUCCEEDED for run in runs)
    for name in RECRAWLS:
        check_generations(data, [run for run in runs if run.job_name == name and run.started_at is not None])
    return len(runs), sum(run.starts for run in runs)


def check_generations(data: Path, runs: list[RunRecord]) -> None:
    """The runs of a job that crawls again made all generations of its one directory, each that came to its end in one
    run; what a cancelled run began a later one went on with."""
    if not runs:
        return
    (directory,) = {run.directory for run in runs}
    done = [run.generation for run in runs if run.state is RunState.SUCCEEDED]
    assert len(done) == len(set(done)), done
    assert generations(data / directory) == sorted({run.generation for run in runs if run.generation is not None})


def check_ticks(data: Path) -> int:
    """Each tick since a schedule was made is a run or counted in a row; returns how many there were."""
    database = ServiceDatabase(data / FILE)
    total = 0
    for schedule in database.schedules.where():
        ticks = database.ticks(schedule.id, None, 1000).items
        begun = int(schedule.created_at)
        wanted = calendar_of(schedule.cron, schedule.zone).count(begun, schedule.decided)
        assert sum(tick.missed for tick in ticks) == wanted, (schedule, ticks)
        started = Counter(tick.run for tick in ticks if tick.run is not None)
        due = Counter(run.id for run in database.runs.where(schedule=schedule.id) if run.due is not None)
        assert started == due and all(count == 1 for count in started.values()), (schedule, ticks)
        total += wanted
    database.close()
    return total


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else DEAD_AFTER
    with tempfile.TemporaryDirectory(prefix="service-kills-") as where:
        print(play(count, first, Path(where), seconds), flush=True)
