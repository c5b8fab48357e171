"""A running crawler to inject faults into: `python -m crawler` in its own session."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from types import MappingProxyType
from typing import Any, NamedTuple

ORPHANS_GONE_WITHIN = 5.0
RESTART_WITHIN = 60.0
NO_MORE: Mapping[str, str] = MappingProxyType({})
Summary = dict[str, Any]


class Ended(NamedTuple):
    """How a crawler ended: its exit code (-9: killed), what it printed as JSON, its lines on stderr."""

    code: int
    summary: Summary | None
    lines: tuple[str, ...]


class CrawlerSession:
    """One `python -m crawler` with these arguments, in its own session. `within` is a command that runs it."""

    def __init__(self, *arguments: str, environment: Mapping[str, str] = NO_MORE, within: Sequence[str] = ()) -> None:
        self.began = monotonic()
        self.process = subprocess.Popen(
            [*within, sys.executable, "-m", "crawler", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **environment},
        )

    def workers(self) -> list[int]:
        """The processes that fetch: grandchildren, below the fork server."""
        parents = {pid: parent for pid, parent, session in living() if session == self.process.pid}
        return [pid for pid, parent in parents.items() if parents.get(parent) == self.process.pid]

    def strike(self, victim: str) -> float | None:
        """Hit the `group`, the `parent` or a `worker` with SIGKILL, or `stop` a worker for good. Returns the monotonic
        time; None if there is no such process."""
        if victim in ("worker", "stop"):
            return self.strike_worker(signal.SIGKILL if victim == "worker" else signal.SIGSTOP)
        hit_at = monotonic()
        (os.killpg if victim == "group" else os.kill)(self.process.pid, signal.SIGKILL)
        return hit_at

    def strike_worker(self, number: int) -> float | None:
        """Send a signal to one of the processes that fetch, identified by a descriptor, because its ID may have been
        reused. Returns the monotonic time; None if there is none."""
        for pid in random.sample(workers := self.workers(), len(workers)):
            try:
                held = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                if pid in self.workers():
                    hit_at = monotonic()
                    signal.pidfd_send_signal(held, number)
                    return hit_at
            except ProcessLookupError:
                continue
            finally:
                os.close(held)
        return None

    def alive(self) -> list[int]:
        """The living processes of the session, the process itself included."""
        return [pid for pid, _, session in living() if session == self.process.pid]

    def wait(self, seconds: float = RESTART_WITHIN) -> Summary:
        """Wait until it ends by itself; returns what it printed as JSON."""
        ended = self.end(seconds)
        assert ended.code == 0 and ended.summary is not None, ended
        return ended.summary

    def end(self, seconds: float = RESTART_WITHIN) -> Ended:
        """Wait for its end. It must not print a traceback or more than one line of error."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            out, err = self.process.communicate()
            raise AssertionError(f"it hangs: {err.decode()}") from None
        lines = tuple(err.decode().splitlines())
        assert not any("Traceback" in line or "bug of the crawler" in line for line in lines), lines
        assert sum(line.startswith("error:") for line in lines) <= 1, lines
        return Ended(self.process.returncode, json.loads(out) if out else None, lines)

    def reap(self) -> float:
        """Wait until no process of a killed parent is left; returns how many seconds that took. 0 if the parent still
        runs or ended by itself."""
        if not dead(self.process.pid):
            return 0.0
        self.process.wait()
        began = monotonic()
        while self.alive():
            assert monotonic() - began < ORPHANS_GONE_WITHIN, f"orphans: {self.alive()}"
            sleep(0.02)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
        return monotonic() - began

    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None


class Crawler(CrawlerSession):
    """A crawl of the demo web that is begun or resumed, by `python -m crawler --resume`."""

    def __init__(
        self,
        folder: Path,
        mode: str,
        concurrency: int,
        *more: str,
        environment: Mapping[str, str] = NO_MORE,
        within: Sequence[str] = (),
    ) -> None:
        mode, _, processes = mode.partition(":")
        super().__init__(
            *("--mode", mode, "--profile", "demo", "--json", "-q"),
            *(() if "--fresh" in more else ("--resume",)),
            *("--config", str(folder / "web.toml"), "--out", str(folder / "out"), "--concurrency", str(concurrency)),
            *("--processes", processes or "2", *more),
            environment=environment,
            within=within,
        )


def living() -> list[tuple[int, int, int]]:
    """Every process: its ID, its parent's, its session's. Zombies are left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if state != "Z":
                found.append((int(entry.name), int(parent), int(session)))
    return found


def dead(pid: int) -> bool:
    """Whether a process has ended; zombies have."""
    return pid not in {found for found, _, _ in living()}
