"""Other people's crawlers on the same site: Scrapy, Crawlee and wget2, where they are there.

Rules, and why:
- Each is set up as its documentation says, for the same host and the same excluded paths, without robots.txt and
  without a delay, with as many fetches in flight. What a peer fetched is told by the peer and held against what we
  fetched: a peer that did other work is shown, and marked.
- Scrapy is looked for beside our interpreter and on PATH: it may live in an environment of its own. Crawlee has no
  command to run a crawl, so it must be importable here.
- wget2 keeps files: on tmpfs where there is one, so that the disk is not what is measured.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from crawler.bench.entrants import Entrant, Kind, Outcome, read_told
from crawler.bench.task import Task
from crawler.compare.launch import Cost
from crawler.compare.run_process import Crashed, last_line
from crawler.core.urls.canonical import canonical

TOLD = "told"
OTHER_TAGS = "audio,base,body,embed,form,frame,iframe,img,input,link,meta,object,script,source,track,video"
"""What wget2 would follow beside a and area."""


class Absent(NamedTuple):
    """A peer that is not there, and how to get it."""

    name: str
    how: str


class Scrapy(NamedTuple):
    """The spider of `crawler/bench/spider.py` below `scrapy runspider`."""

    program: str
    name: str = "scrapy"
    kind: Kind = "peer"

    def command(self, task: Task, folder: Path) -> list[str]:
        """Its other interpreter must not find our packages, so it is started without PYTHONPATH."""
        in_flight = str(task.in_flight)
        settings = {
            "ROBOTSTXT_OBEY": "False",
            "DOWNLOAD_DELAY": "0",
            "CONCURRENT_REQUESTS": in_flight,
            "CONCURRENT_REQUESTS_PER_DOMAIN": in_flight,
            "LOG_LEVEL": "ERROR",
            "TELNETCONSOLE_ENABLED": "False",
        }
        spider = str(Path(__file__).with_name("spider.py"))
        told = ["env", "-u", "PYTHONPATH", self.program, "runspider", spider]
        for name, value in {"url": task.url, "exclude": json.dumps(task.exclude), "told": str(folder / TOLD)}.items():
            told += ["-a", f"{name}={value}"]
        for name, value in settings.items():
            told += ["-s", f"{name}={value}"]
        return told

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """What the spider told."""
        return _told(cost, folder)


class Crawlee(NamedTuple):
    """`crawler/bench/crawlee_crawl.py`."""

    name: str = "crawlee"
    kind: Kind = "peer"

    def command(self, task: Task, folder: Path) -> list[str]:
        """In this interpreter."""
        told = [sys.executable, "-m", "crawler.bench.crawlee_crawl", task.url, str(task.in_flight)]
        return [*told, str(folder / TOLD), *task.exclude]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """What it told."""
        return _told(cost, folder)


class Wget2(NamedTuple):
    """Recursive, every file kept."""

    program: str
    name: str = "wget2"
    kind: Kind = "peer"

    def command(self, task: Task, folder: Path) -> list[str]:
        """It has one regular expression, searched in the whole URL."""
        told = [self.program, "--quiet", "--no-config", "--recursive", "--level=0", "--robots=off", "--filter-urls"]
        told += [f"--max-threads={task.in_flight}", f"--ignore-tags={OTHER_TAGS}", f"--stats-site=csv:{folder / TOLD}"]
        told += [f"--reject-regex={'|'.join(task.exclude)}"] if task.exclude else []
        return [*told, f"--directory-prefix={folder / 'files'}", task.url]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """The whole process counts: it starts in a few milliseconds."""
        try:
            with (folder / TOLD).open(encoding="utf-8", errors="replace", newline="") as rows:
                urls = _spelled(row["URL"] for row in csv.DictReader(rows))
        except (OSError, KeyError) as error:
            raise Crashed(f"ended with exit code {cost.exit_code}: {last_line(folder)}") from error
        if not urls:
            raise Crashed(f"fetched nothing: {last_line(folder)}")
        return Outcome(len(urls) / (cost.ended_at - cost.started_at), cost.cpu / len(urls), cost.memory, urls)


NAMES = ("scrapy", "crawlee", "wget2")


def find(names: tuple[str, ...] = NAMES) -> tuple[list[Entrant], list[Absent]]:
    """Those of the peers that are there, and those that are not."""
    there: list[Entrant] = []
    absent: list[Absent] = []
    for name in names:
        peer = _find(name)
        if peer:
            there.append(peer)
        else:
            how = "apt-get install wget2" if name == "wget2" else "pip install 'crawler[peers]'"
            absent.append(Absent(name, how))
    return there, absent


def _find(name: str) -> Entrant | None:
    if name == "crawlee":
        return Crawlee() if find_spec("crawlee") and find_spec("bs4") else None
    beside = Path(sys.executable).with_name(name)
    program = str(beside) if beside.exists() else shutil.which(name)
    if not program:
        return None
    return Scrapy(program) if name == "scrapy" else Wget2(program)


def _told(cost: Cost, folder: Path) -> Outcome:
    told = read_told(cost, folder, folder / TOLD)
    urls = _spelled(told.urls)
    return Outcome(len(urls) / told.seconds, told.cpu / len(urls), cost.memory, urls)


def _spelled(urls: Iterable[str]) -> frozenset[str]:
    """As we spell them: peers keep fragments, which never reach a server."""
    return frozenset(filter(None, map(canonical, urls)))
