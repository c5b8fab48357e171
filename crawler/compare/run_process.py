"""Runs one command of a trial below the launcher that counts its cost, until it ends, times out or is interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic

import msgspec

from crawler.compare.launch import Cost
from crawler.errors import CrawlerError
from crawler.metrics.summary import Summary
from crawler.storage.directory import CrawlDirectory
from crawler.storage.pages.base import Page
from crawler.storage.verify import Audit, audit

LOOK = 0.2
Stopped = Callable[[], bool]


class Interrupted(Exception):
    """The user interrupted: the running trial is not recorded."""


class Crashed(Exception):
    """A command hung, or ended without a result. The message gives the cause."""


@contextmanager
def empty_folder(path: Path) -> Iterator[Path]:
    """An empty folder, removed afterwards."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run_watched(
    command: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    patience: float,
    stopped: Stopped,
    look: Callable[[], None] = lambda: None,
) -> Cost:
    """Run a command with its output in `out` and `err` of the folder; `look` is called every LOOK seconds. It has its
    own session, so that Ctrl-C in our terminal does not reach it.

    Raises Crashed where it does not end in `patience` seconds, Interrupted.
    """
    launcher = subprocess.Popen(
        [sys.executable, "-m", "crawler.compare.launch", str(folder / "out"), str(folder / "err"), *command],
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    give_up_at = monotonic() + patience
    try:
        while True:
            try:
                printed, _ = launcher.communicate(timeout=LOOK)
                break
            except subprocess.TimeoutExpired:
                look()
                if stopped():
                    raise Interrupted from None
                if monotonic() > give_up_at:
                    raise Crashed(f"did not end in {patience:.0f} s") from None
    finally:
        if launcher.returncode is None:
            os.killpg(launcher.pid, signal.SIGKILL)
            launcher.communicate()
    if stopped():
        raise Interrupted
    if launcher.returncode:
        raise Crashed(f"the launcher ended with {launcher.returncode}")
    return msgspec.json.decode(printed, type=Cost)


def summary_of(cost: Cost, folder: Path) -> Summary:
    """The summary that a crawl printed. Raises Crashed where there is none."""
    try:
        return msgspec.json.decode((folder / "out").read_bytes(), type=Summary)
    except msgspec.DecodeError as error:
        raise Crashed(f"ended with exit code {cost.exit_code}: {last_line(folder)}") from error


def read_back(crawl: Path, see: Callable[[Page], None]) -> tuple[CrawlDirectory, Audit]:
    """A finished crawl, read again from disk; every page passes `see`. Raises Crashed where it cannot be read."""
    try:
        directory = CrawlDirectory.open_readonly(crawl)
        return directory, audit(directory, see)
    except CrawlerError as error:
        raise Crashed(f"the crawl cannot be read back: {error}") from error


def stored_times(directory: CrawlDirectory) -> dict[str, float]:
    """When each URL that was fetched was committed, in Unix time. Raises Crashed where that cannot be read."""
    try:
        with closing(directory.open_frontiers()) as frontier:
            return {row.url: row.settled_at for row in frontier.settled() if row.attempts}
    except CrawlerError as error:
        raise Crashed(f"the crawl cannot be read back: {error}") from error


def last_line(folder: Path) -> str:
    """The last line that a command wrote to stderr."""
    lines = (folder / "err").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing on stderr"
