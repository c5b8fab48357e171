"""The facts of runs, read from their crawl directories and kept for a while.

Rules:
- Nothing about pages is counted here: `crawler.report` reads it, as for a report, and crawl_reader.py reads the hosts,
  as for the API. So a page of the dashboard, a report and the API cannot differ.
- One directory is read at a time, on a thread, for at most PATIENCE seconds: dashboards must not take from crawls.
- A page does not wait for a reading that takes long: it shows what was read before, or says that it is being read.
- The facts of a live run are read again after FRESH seconds, those of an ended one after SETTLED, as another run may go
  on in its directory; in any case not before SPARING times as long as the reading took.
- A run that cannot be read is told in words, never an error of the page.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from crawler.errors import CrawlerError
from crawler.report.facts import Facts
from crawler.report.reading import look, read
from crawler.service import crawl_reader
from crawler.service.crawl_reader import HostOfRun

if TYPE_CHECKING:
    from crawler.service.service import Service

PATIENCE = 5.0
WAIT = 1.5
"""Seconds that a page waits for a reading."""
FRESH = 4.0
SETTLED = 300.0
SPARING = 20.0
MOST = 64
"""How many runs are kept; the facts of one have a bounded size, about 100 kB."""
HOSTS = 100
"""How many hosts of a run are kept."""


class FactsRead(NamedTuple):
    """What a directory says: `facts`, or None and the reason in words; its largest hosts, and whether it has more."""

    facts: Facts | None
    unread: str = ""
    hosts: Sequence[HostOfRun] = ()
    more_hosts: bool = False


BEING_READ = FactsRead(None, "Its crawl directory is being read; look again in a moment.")


class _Kept(NamedTuple):
    read: FactsRead
    until: float


class CrawlFacts:
    """A cache of facts by run."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[FactsRead]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def of(self, run: str, path: Path, *, live: bool, wait: float = WAIT) -> FactsRead:
        """The facts of the crawl in `path`. `live`: the run has not ended, so they change; `wait`: seconds to wait for
        them at most."""
        kept = self._kept.get(run)
        if kept is not None and kept.until > monotonic():
            self._kept.move_to_end(run)
            return kept.read
        task = self._tasks.get(run)
        if task is None:
            task = self._tasks[run] = asyncio.create_task(self._read(run, path, live))
            task.add_done_callback(lambda _: self._tasks.pop(run))
        await asyncio.wait({task}, timeout=wait)
        if task.done():
            return task.result()
        return kept.read if kept is not None else BEING_READ

    async def _read(self, run: str, path: Path, live: bool) -> FactsRead:
        async with self._one_at_a_time:
            started_at = monotonic()
            found = await asyncio.to_thread(_read, path)
        took = monotonic() - started_at
        lasting = max(FRESH if live or found.facts is None else SETTLED, SPARING * took)
        self._kept[run] = _Kept(found, monotonic() + lasting)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return found


_OF: WeakKeyDictionary[Service, CrawlFacts] = WeakKeyDictionary()


def facts_of(service: Service) -> CrawlFacts:
    """The facts of the runs of a service; they are forgotten with it."""
    return _OF.setdefault(service, CrawlFacts())


def _read(path: Path) -> FactsRead:
    if not path.is_dir():
        return FactsRead(None, "Its crawl directory does not exist (yet, or any more).")
    try:
        facts = read(look(path), PATIENCE)
        listed = crawl_reader.hosts(path, None, HOSTS)
        return FactsRead(facts, hosts=listed.items, more_hosts=listed.next is not None)
    except CrawlerError as error:
        return FactsRead(None, str(error))
    except OSError as error:
        return FactsRead(None, f"cannot read {path}: {error.strerror or error}")
