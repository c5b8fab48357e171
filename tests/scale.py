"""A frontier of millions of URLs: its memory use, how the cost of a step grows, how long a restart takes.

    python -m tests.scale [--urls 5000000] [--hosts 100000] [--max-memory 512M] [--out DIR]

The URLs are generated and every fetch is answered at once, but everything passes through `Crawl.step` and a `Recorder`
on a real file, as in a crawl: each page links to the next LINKS URLs, TOGETHER of them on one host, and some that are
known. The output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, thread_time

import variants
from crawler.core.bounds import Bounds
from crawler.core.crawl import Crawl
from crawler.core.messages import Actions, Event, Fetch, Fetched, Stop
from crawler.core.urls.scope import Scope
from crawler.run import remove_orphans
from crawler.runtime.recorder import Recorder
from crawler.settings import Settings, merge_layers
from crawler.storage.directory import CrawlDirectory
from crawler.storage.pages.base import Writer

LINKS = 50
KNOWN = 10
TOGETHER = 10
ROOM = 100
ROBOTS = "User-agent: *\nDisallow: /private\nDisallow: /search\nAllow: /\nCrawl-delay: 0\n"
SEED_URL = "http://h0.test/"


class Web:
    """Answers every fetch; `shown` counts the URLs linked so far."""

    def __init__(self, urls: int, hosts: int) -> None:
        self.shown = 0
        self._urls = urls
        self._hosts = hosts
        self._dice = random.Random(1)

    def answer(self, fetch: Fetch) -> Event:
        """A robots.txt, or a page with new links as long as URLs are left."""
        if fetch.robots:
            return Fetched(fetch.id, 200, robots_text=ROBOTS)
        new = range(self.shown, min(self.shown + LINKS, self._urls))
        self.shown = new.stop
        known = (self._dice.randrange(self.shown) for _ in range(KNOWN))
        return Fetched(fetch.id, 200, tuple(self._url(number) for number in (*new, *known)), size=20_000)

    def _url(self, number: int) -> str:
        host = number // TOGETHER % self._hosts
        return f"http://h{host}.test/articles/{number // TOGETHER // self._hosts}/page-{number}.html"


def bounds_of(settings: Settings) -> Bounds:
    """The bounds of what may be in memory of this crawl."""
    return variants.fit(settings)[1].own.bounds


class Pump:
    """Steps a crawl and records its actions; events from the recorder are passed to the next step."""

    def __init__(self, directory: CrawlDirectory, recorder: Recorder, settings: Settings) -> None:
        self.crawl = Crawl(settings, Scope(settings, settings.seeds), directory.manifest.seed, bounds_of(settings))
        self.recorder = recorder
        self.spent = 0.0
        self._posted: list[Event] = []
        self._woken = threading.Event()
        recorder.start(self._woken.set, self._post)

    def _post(self, event: Event) -> None:
        self._posted.append(event)
        self._woken.set()

    def step(self, events: list[Event]) -> Actions:
        """One step and its CPU time, added to `spent`."""
        posted, self._posted = self._posted, []
        room = min(ROOM, self.recorder.room)
        began = thread_time()
        actions = self.crawl.step([*events, *posted], room=room, now=monotonic())
        self.spent += thread_time() - began
        self.recorder.keep(actions)
        return actions

    def rest(self, until: float | None) -> None:
        """Wait until the recorder posts an event."""
        self._woken.wait(1.0 if until is None else min(1.0, max(0.0, until - monotonic())))
        self._woken.clear()


def fill(path: Path, urls: int, hosts: int, memory: str) -> dict[str, object]:
    """Admit so many URLs; the cost of the steps by tenths of them."""
    settings = merge_layers({"seeds": [SEED_URL], "scope": "any", "delay": 0.0, "max_memory": memory})
    directory = CrawlDirectory.create(path, settings, demo=False, fresh=False)
    web = Web(urls, hosts)
    tenths: list[float] = []
    with running(directory, settings) as (pump, first):
        events, began, pages = first, monotonic(), 0
        while web.shown < urls:
            actions = pump.step(events)
            events = [web.answer(fetch) for fetch in actions.fetches]
            pages += len(events)
            if not events:
                pump.rest(actions.wake_at)
            while web.shown >= urls * (len(tenths) + 1) // 10:
                tenths.append(pump.spent / (urls / 10) * 1e6)
                pump.spent = 0.0
        pump.step([*events, Stop()])
        seconds = monotonic() - began
    return {
        "urls": urls,
        "hosts": hosts,
        "answers": pages,
        "fill_seconds": round(seconds, 1),
        "step_us_per_url": [round(tenth, 2) for tenth in tenths],
        "last_to_first_tenth": round(tenths[-1] / tenths[0], 2),
        "peak_rss_mb": peak_rss(),
        "file_mb": directory.frontier_files()[0].stat().st_size >> 20,
    }


def restart(path: Path) -> dict[str, object]:
    """Resume the crawl until it issues a fetch."""
    began = monotonic()
    directory = CrawlDirectory.open(path)
    settings = directory.settings
    with running(directory, settings) as (pump, first):
        actions = pump.step(first)
        while not actions.fetches:
            pump.rest(actions.wake_at)
            actions = pump.step([])
        seconds = monotonic() - began
        pump.step([Stop()])
    return {"restart_seconds": round(seconds, 2), "restart_peak_rss_mb": peak_rss()}


@contextmanager
def running(directory: CrawlDirectory, settings: Settings) -> Iterator[tuple[Pump, list[Event]]]:
    """A recorder on the frontier of a directory, and the first events of a run."""
    with closing(directory), closing(directory.frontier()) as frontier:
        store = directory.store()
        remove_orphans(store, frontier, directory.manifest.runs)
        recorder = Recorder(frontier, directory.manifest.seed, most_marks=bounds_of(settings).marks)
        run = directory.begin_run(settings)
        writer: Writer = store.writer(f"{run:04d}-000")
        recorder.add_writer(writer)
        first = recorder.resume(settings.seeds, again=run > 1)
        with closing(writer), closing(recorder):
            yield Pump(directory, recorder, settings), first


def peak_rss() -> float:
    """The most memory this process has had, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024, 1)


def main() -> None:
    """Run each phase in a separate process, so that their memory is measured separately."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--urls", type=int, default=5_000_000)
    parser.add_argument("--hosts", type=int, default=100_000)
    parser.add_argument("--max-memory", default="512M")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--phase", choices=("fill", "restart"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.phase == "fill":
        print(json.dumps(fill(args.out, args.urls, args.hosts, args.max_memory)))
    elif args.phase == "restart":
        print(json.dumps(restart(args.out)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            out = str(args.out or Path(folder) / "crawl")
            results: dict[str, object] = {}
            for phase in ("fill", "restart"):
                command = [sys.executable, "-m", "tests.scale", *sys.argv[1:], "--out", out, "--phase", phase]
                results |= json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
