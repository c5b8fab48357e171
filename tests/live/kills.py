"""Kills real crawls, resumes them, and lets the oracle and the server's log judge: `python -m tests.live.kills --help`.

A campaign kills one kind of victim at random moments of a crawl of the demo web, from the command line, resuming after
each kill (in the next mode of the list), until the count is reached; a crawl that completes earlier is followed by
another. After each kill nothing of the killed session may live on for 5 s. At the end of each crawl: the digest is the
oracle's, `verify` agrees, every URL is settled as expected, no page is stored twice, the server saw no request that the
rules forbid, and nothing was fetched again but what was in flight or uncommitted at a kill.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep

import msgspec

import variants
from crawler.testweb.oracle import crawl_digest, expected
from crawler.testweb.process import StartedWeb, start_web
from crawler.testweb.referee import Verdict, judge
from crawler.testweb.settings import to_toml
from crawler.testweb.web import Web
from tests.contract.webs import rows

DELAY = 0.02
UNCOMMITTED = 64
ON_ITS_WAY = 0.1  # a request may still arrive after whoever sent it is dead
ORPHANS_GONE_WITHIN = 5.0
RESTART_WITHIN = 60.0


Strike = Callable[["Crawler"], float | None]


class Report(msgspec.Struct):
    """What a campaign counted."""

    kills: int = 0
    crawls: int = 0
    repeated: int = 0
    most_repeated_by_one_kill: int = 0
    slowest_death: float = 0.0
    slowest_return: float = 0.0


class Crawler:
    """One `python -m crawler --resume` in a session of its own."""

    def __init__(self, folder: Path, mode: str, concurrency: int, *more: str) -> None:
        mode, _, processes = mode.partition(":")
        command = [
            *(sys.executable, "-m", "crawler", "--mode", mode, "--profile", "demo", "--resume", "--json", "-q"),
            *("--config", str(folder / "web.toml"), "--out", str(folder / "out"), "--concurrency", str(concurrency)),
            *("--processes", processes or "2", *more),
        ]
        self.began = monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

    def workers(self) -> list[int]:
        """The processes that fetch: grandchildren, below the fork server."""
        parents = {pid: parent for pid, parent, session in _processes() if session == self.process.pid}
        return [pid for pid, parent in parents.items() if parents.get(parent) == self.process.pid]

    def alive(self) -> list[int]:
        """What lives of the session, the process itself included."""
        return [pid for pid, _, session in _processes() if session == self.process.pid]

    def wait(self, seconds: float = RESTART_WITHIN) -> dict[str, object]:
        """Let it end by itself; what it printed as JSON."""
        out, err = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, f"exit {self.process.returncode}: {err.decode()}"
        told: dict[str, object] = json.loads(out)
        return told

    def ended(self) -> bool:
        """It is over."""
        return self.process.poll() is not None


class Campaign:
    """Many kills of one kind over as many crawls as it takes."""

    def __init__(self, modes: list[str], hosts: int, pages: int, concurrency: int, seed: int) -> None:
        self.report = Report()
        self._modes = modes
        self._concurrency = concurrency
        self._dice = random.Random(seed)
        self._web = Web(hosts=hosts, pages=pages)
        self._expected = expected(self._web)
        self._digest = crawl_digest(self._expected)

    def run(self, kills: int, strike: Strike, life: tuple[float, float]) -> Report:
        """Kill until the count is reached. `strike` says when it hit; `life` bounds the seconds before each blow."""
        while self.report.kills < kills:
            with tempfile.TemporaryDirectory() as name:
                self._crawl(Path(name), kills, strike, life)
            self.report.crawls += 1
        return self.report

    def _crawl(self, folder: Path, kills: int, strike: Strike, life: tuple[float, float]) -> None:
        struck: list[float] = []
        with start_web(hosts=len(self._web.names), pages=self._web.pages, log=folder / "web.log") as web:
            (folder / "web.toml").write_text(to_toml(web.settings))
            while self.report.kills < kills:
                crawler = Crawler(folder, self._modes[self.report.kills % len(self._modes)], self._concurrency)
                blow_at = monotonic() + self._dice.uniform(*life)
                while monotonic() < blow_at and not crawler.ended():
                    sleep(0.005)
                hit_at = None if crawler.ended() else strike(crawler)
                if hit_at is None:
                    crawler.wait()
                    break
                struck.append(hit_at)
                self.report.kills += 1
                self._bury(crawler)
            else:
                Crawler(folder, self._dice.choice(self._modes), self._concurrency).wait()
            self._check(folder, web, struck)

    def _bury(self, crawler: Crawler) -> None:
        """A killed parent leaves nobody; a crawl that only lost a worker ends by itself."""
        if crawler.ended() or _dead(crawler.process.pid):
            crawler.process.wait()
            began = monotonic()
            while crawler.alive():
                assert monotonic() - began < ORPHANS_GONE_WITHIN, f"orphans: {crawler.alive()}"
                sleep(0.02)
            self.report.slowest_death = max(self.report.slowest_death, monotonic() - began)
            for pipe in (crawler.process.stdout, crawler.process.stderr):
                if pipe:
                    pipe.close()

    def _check(self, folder: Path, web: StartedWeb, struck: list[float]) -> None:
        out, config = str(folder / "out"), str(folder / "web.toml")
        summary = self._ask("--resume", "--json", "-q", "--out", out, "--config", config)
        assert summary["complete"] and summary["digest"] == self._digest, summary
        verified = self._ask("verify", "--json", out)
        assert verified["digest"] == self._digest, verified
        found = {url: (row.reason, row.status) for url, row in rows(folder / "out").items()}
        assert found == {url: (end.reason, end.status) for url, end in self._expected.items()}
        web.close()
        # A blow has no one moment: it is noted just before it falls, and requests may be under way for a little longer.
        kills = [at + ON_ITS_WAY * step / 20 for at in struck for step in range(21)]
        self._judge(judge(folder / "web.log", self._web, DELAY, kills=kills), struck)

    def _judge(self, verdict: Verdict, struck: list[float]) -> None:
        told = verdict.duplicates, verdict.disallowed, verdict.closed, verdict.gaps, verdict.overlaps, verdict.holds
        assert verdict.clean, told
        by_kill = [0] * len(struck)
        for repeated in verdict.excused:
            for first, again in pairwise(repeated.times):
                number = next(number for number, at in enumerate(struck) if at + ON_ITS_WAY >= first)
                by_kill[number] += 1
                self.report.slowest_return = max(self.report.slowest_return, again - struck[number])
        self.report.repeated += sum(by_kill)
        self.report.most_repeated_by_one_kill = max([self.report.most_repeated_by_one_kill, *by_kill])
        assert self.report.most_repeated_by_one_kill <= self._concurrency + UNCOMMITTED

    @staticmethod
    def _ask(*arguments: str) -> dict[str, object]:
        command = [sys.executable, "-m", "crawler", *arguments]
        done = subprocess.run(command, capture_output=True, timeout=RESTART_WITHIN)
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}: {done.stdout!r} {done.stderr!r}"
        told: dict[str, object] = json.loads(done.stdout)
        return told


def strike_group(crawler: Crawler) -> float:
    """kill -9 of the whole group."""
    hit_at = monotonic()
    os.killpg(crawler.process.pid, signal.SIGKILL)
    return hit_at


def strike_parent(crawler: Crawler) -> float:
    """kill -9 of the parent alone."""
    hit_at = monotonic()
    os.kill(crawler.process.pid, signal.SIGKILL)
    return hit_at


def strike_worker(crawler: Crawler) -> float | None:
    """kill -9 of one worker process; the crawl must go on and end complete by itself."""
    workers = crawler.workers()
    if not workers:
        return None
    hit_at = monotonic()
    os.kill(random.choice(workers), signal.SIGKILL)
    crawler.wait()
    return hit_at


def strike_stop(crawler: Crawler) -> float | None:
    """SIGSTOP of one worker process, for good; the crawl must replace it and end complete by itself."""
    workers = crawler.workers()
    if not workers:
        return None
    hit_at = monotonic()
    os.kill(random.choice(workers), signal.SIGSTOP)
    crawler.wait()
    return hit_at


def _processes() -> list[tuple[int, int, int]]:
    """Every process: its id, its parent's, its session's. Zombies are dead."""
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


def _dead(pid: int) -> bool:
    return pid not in {found for found, _, _ in _processes()}


STRIKES = {"group": strike_group, "parent": strike_parent, "worker": strike_worker, "stop": strike_stop}


def main() -> None:
    """Run campaigns from the command line and print what they counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", default=[*variants.names()], help="a mode, or mode:processes")
    parser.add_argument("--victim", choices=STRIKES, default="group")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--life", type=float, nargs=2, default=(0.4, 2.0), help="seconds before a blow, from and to")
    parser.add_argument("--hosts", type=int, default=40)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    campaign = Campaign(chosen.modes, chosen.hosts, chosen.pages, chosen.concurrency, chosen.seed)
    report = campaign.run(chosen.kills, STRIKES[chosen.victim], tuple(chosen.life))
    print(json.dumps({"modes": chosen.modes, "victim": chosen.victim, **msgspec.to_builtins(report)}))


if __name__ == "__main__":
    main()
