"""The oracle against real crawls: `python -m tests.live.profiles [--seeds N] [--hosts N] [--pages N] [--profile NAME]`.

For every seed and profile one web is served and crawled in the three modes through the command line. What `verify`
reads back from disk must have the digest that the oracle computes without a crawl, and every URL must have the
predicted outcome and number of attempts. Pages are small and latencies short, because the crawls would mostly wait
otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import variants
from crawler.storage.directory import CrawlDirectory
from crawler.testweb.choice import Choice
from crawler.testweb.oracle import Expected, crawl_digest, expected
from crawler.testweb.process import StartedWeb, start_web
from crawler.testweb.settings import to_toml

ROOT = Path(__file__).resolve().parents[2]
MODES = variants.names()
PROFILES = ("lab", "real", "hostile")
HURRY = {"latency_scale": 0.01, "size_scale": 0.1}
# the longest answer takes 0.3 s: only answers that hang or come byte by byte time out
SETTINGS = """
delay = 0.0
per_host = 4
connect_timeout = 2.0
first_byte_timeout = 2.0
idle_timeout = 3.0
timeout = 4.0
backoff = 0.05
host_patience = 0.5
pattern_pages = 1000000000
robots_backoff = 0.05
"""


def chosen(profile: str, seed: int, hosts: int, pages: int) -> Choice:
    """The web of a profile with short latencies."""
    return Choice(profile=profile, seed=seed, hosts=hosts, pages=pages, numbers=HURRY)  # type: ignore[arg-type]


def served(choice: Choice, *, log: Path | None = None, processes: int = 1, authority: Path | None = None) -> StartedWeb:
    """Serve that web in separate processes."""
    fields = {name: getattr(choice, name) for name in ("profile", "seed", "hosts", "pages", "numbers")}
    return start_web(log=log, processes=processes, authority=authority, **fields)


def crawl(web: StartedWeb, mode: str, out: Path, *more: str) -> None:
    """One crawl through the command line, into `out`."""
    configuration = out.with_suffix(".toml")
    configuration.write_text(SETTINGS + to_toml(web.settings), encoding="utf-8")
    command = ["--mode", mode, "--config", str(configuration), "--out", str(out), "--json", "-q", *more]
    run("crawl", *command, "--concurrency", "64", *(("--processes", "2") if mode == "processes" else ()))


def run(*command: str) -> str:
    """A command of the crawler; what it printed. Raises CalledProcessError."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "crawler", *command], env=environment, capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


def differences(out: Path, ends: Mapping[str, Expected], *, bodies: bool = True) -> list[str]:
    """Differences between a crawl and the oracle; with `bodies` the digests are compared too."""
    frontier = CrawlDirectory.open_readonly(out).open_frontiers()
    try:
        found = {row.url: (row.reason.value, row.status, row.attempts) for row in frontier.settled()}
    finally:
        frontier.close()
    expected_ends = {url: (end.reason.value, end.status, end.attempts) for url, end in ends.items()}
    differing = sorted(url for url in found.keys() | expected_ends.keys() if found.get(url) != expected_ends.get(url))
    faults = [f"{url}: {found.get(url)} instead of {expected_ends.get(url)}" for url in differing]
    disk = json.loads(run("verify", str(out), "--json"))["digest"]
    if bodies and disk != crawl_digest(ends):
        faults.append(f"digest {disk} instead of {crawl_digest(ends)}")
    return faults


def main() -> int:
    """Every seed, profile and mode; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.profiles", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--profile", choices=PROFILES, action="append")
    asked = parser.parse_args()
    wrong = 0
    for profile in asked.profile or PROFILES:
        for seed in range(1, asked.seeds + 1):
            choice = chosen(profile, seed, asked.hosts, asked.pages)
            ends = expected(choice.make())
            with served(choice) as web, tempfile.TemporaryDirectory() as folder:
                for mode in MODES:
                    began, out = time.monotonic(), Path(folder) / mode
                    crawl(web, mode, out)
                    faults = differences(out, ends)
                    wrong += bool(faults)
                    took = time.monotonic() - began
                    verdict = "equal" if not faults else f"{len(faults)} differences: " + "; ".join(faults[:5])
                    print(f"{profile:8} seed {seed} {mode:10} {len(ends)} URLs {took:5.1f} s  {verdict}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
