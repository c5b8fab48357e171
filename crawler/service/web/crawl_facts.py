"""What pages show of runs: the facts of a crawl, and what changed since the generation before.

Nothing about pages is counted here: `crawler.report` reads the facts, as for a report, crawl_reader.py the hosts and
diff_reader.py the changes, as for the API. So a page of the dashboard, a report and the API cannot differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from crawler.report import diff_page
from crawler.report.facts import Facts
from crawler.report.reading import look, read
from crawler.service import crawl_reader, diff_reader
from crawler.service.crawl_reader import HostOfRun
from crawler.service.diff_reader import DiffCounts
from crawler.service.web.kept_readings import KeptReadings

if TYPE_CHECKING:
    from crawler.service.service import Service

PATIENCE = 5.0
HOSTS = 100
"""How many hosts of a run are kept."""


class FactsRead(NamedTuple):
    """What a directory says: `facts`, or None and the reason in words; its largest hosts, and whether it has more."""

    facts: Facts | None
    unread: str = ""
    hosts: Sequence[HostOfRun] = ()
    more_hosts: bool = False


class DiffRead(NamedTuple):
    """What changed: the numbers of the generations and their counts, and the parts of the page as HTML; or None and the
    reason in words. `complete`: the later one read all links; `not_asked`: known pages that it left out."""

    counts: DiffCounts | None
    unread: str = ""
    generations: tuple[int, int] = (0, 0)
    complete: bool = False
    not_asked: int = 0
    state: str = ""
    tiles: str = ""
    sections: str = ""


class RunReadings:
    """What is kept of the runs of one service."""

    def __init__(self) -> None:
        turns = asyncio.Lock()
        self.facts = KeptReadings(_read_facts, _no_facts, turns)
        self.diffs = KeptReadings(_read_diff, _no_diff, turns)


_OF: WeakKeyDictionary[Service, RunReadings] = WeakKeyDictionary()


def readings_of(service: Service) -> RunReadings:
    """What is kept of the runs of a service; it is forgotten with it."""
    return _OF.setdefault(service, RunReadings())


def _read_facts(path: Path) -> FactsRead:
    facts = read(look(path, 0), PATIENCE)  # of this generation, not of the last
    listed = crawl_reader.hosts(path, None, HOSTS)
    return FactsRead(facts, hosts=listed.items, more_hosts=listed.next is not None)


def _no_facts(why: str) -> FactsRead:
    return FactsRead(None, why)


def _read_diff(path: Path) -> DiffRead:
    found = diff_reader.compare(path)

    def text_link(url: str) -> str:
        return f"?{urlencode({'text': url})}"

    return DiffRead(
        diff_reader.counts_of(found),
        generations=(found.older, found.newer),
        complete=found.complete,
        not_asked=found.not_asked,
        state=diff_page.state(found),
        tiles=diff_page.tiles(found),
        sections=diff_page.sections(found, "the API lists more of them", text_link),
    )


def _no_diff(why: str) -> DiffRead:
    return DiffRead(None, why)
