"""Other crawlers on the same site: Scrapy, Crawlee and wget2, where they are installed.

Rules, and why:
- Each is set up as its documentation says, for the same host and the same excluded paths, without robots.txt and
  without a delay, with as many fetches in flight. A peer reports what it fetched, which is compared with what we
  fetched. A peer that did other work is shown, and marked.
- Scrapy is searched beside our interpreter and on PATH, as it may be in another environment. Crawlee has no command to
  run a crawl, so it must be importable here.
- wget2 stores files: on tmpfs where there is one, so that the disk is not measured.
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

from crawler.bench.entrants import Entrant, Kind, Outcome, read_result
from crawler.bench.task import Task
from crawler.compare.launch import Cost
from crawler.compare.run_process import Crashed, last_line
from crawler.core.urls.canonical import canonical
from crawler.system.invocation import pip_install

RESULT = "result"
OTHER_TAGS = "audio,base,body,embed,form,frame,iframe,img,input,link,meta,object,script,source,track,video"
"""Tags that wget2 would follow besides a and area."""


class Absent(NamedTuple):
    """A peer that is not installed, and how to install it."""

    name: str
    how: str


class Scrapy(NamedTuple):
    """The spider of `crawler/bench/spider.py` below `scrapy runspider`."""

    program: str
    name: str = "scrapy"
    kind: Kind = "peer"

    def command(self, task: Task, folder: Path) -> list[str]:
        """Run the spider without PYTHONPATH, so that another interpreter does not find our packages."""
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
        words = ["env", "-u", "PYTHONPATH", self.program, "runspider", spider]
        for name, value in {
            "url": task.url,
            "exclude": json.dumps(task.exclude),
            "result": str(folder / RESULT),
        }.items():
            words += ["-a", f"{name}={value}"]
        for name, value in settings.items():
            words += ["-s", f"{name}={value}"]
        return words

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """The result that the spider reported."""
        return _outcome(cost, folder)


class Crawlee(NamedTuple):
    """`crawler/bench/crawlee_crawl.py`."""

    name: str = "crawlee"
    kind: Kind = "peer"

    def command(self, task: Task, folder: Path) -> list[str]:
        """Run it in this interpreter."""
        words = [sys.executable, "-m", "crawler.bench.crawlee_crawl", task.url, str(task.in_flight)]
        return [*words, str(folder / RESULT), *task.exclude]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """The result that the child reported. Raises Crashed."""
        return _outcome(cost, folder)


class Wget2(NamedTuple):
    """wget2, recursive, with every file stored."""

    program: str
    name: str = "wget2"
    kind: Kind = "peer"

    def command(self, task: Task, folder: Path) -> list[str]:
        """Crawl recursively. wget2 has one exclude expression, searched in the whole URL, so all are joined."""
        words = [self.program, "--quiet", "--no-config", "--recursive", "--level=0", "--robots=off", "--filter-urls"]
        words += [
            f"--max-threads={task.in_flight}",
            f"--ignore-tags={OTHER_TAGS}",
            f"--stats-site=csv:{folder / RESULT}",
        ]
        words += [f"--reject-regex={'|'.join(task.exclude)}"] if task.exclude else []
        return [*words, f"--directory-prefix={folder / 'files'}", task.url]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """The result, start-up included: wget2 starts in a few milliseconds. Raises Crashed."""
        try:
            with (folder / RESULT).open(encoding="utf-8", errors="replace", newline="") as rows:
                urls = _canonical(row["URL"] for row in csv.DictReader(rows))
        except (OSError, KeyError) as error:
            raise Crashed(f"ended with exit code {cost.exit_code}: {last_line(folder)}") from error
        if not urls:
            raise Crashed(f"fetched nothing: {last_line(folder)}")
        return Outcome(len(urls) / (cost.ended_at - cost.started_at), cost.cpu / len(urls), cost.memory, urls)


NAMES = ("scrapy", "crawlee", "wget2")


def find(names: tuple[str, ...] = NAMES) -> tuple[list[Entrant], list[Absent]]:
    """The peers that are installed, and those that are not."""
    there: list[Entrant] = []
    absent: list[Absent] = []
    for name in names:
        peer = _find(name)
        if peer:
            there.append(peer)
        else:
            how = "apt-get install wget2" if name == "wget2" else pip_install("peers")
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


def _outcome(cost: Cost, folder: Path) -> Outcome:
    result = read_result(cost, folder, folder / RESULT)
    urls = _canonical(result.urls)
    return Outcome(len(urls) / result.seconds, result.cpu / len(urls), cost.memory, urls)


def _canonical(urls: Iterable[str]) -> frozenset[str]:
    """URLs in our canonical form: peers keep fragments, which are not sent to a server."""
    return frozenset(filter(None, map(canonical, urls)))
