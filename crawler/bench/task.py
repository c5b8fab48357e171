"""The task of all entrants: a site, and the result of a first crawl of it.

Rules, and why:
- The site must allow requests at full speed: it is on this machine, or the user confirms to own it (`mine`).
- A delay, or a limit that depends on order, would be measured instead of the crawler, so both are refused.
- Raw loops and peers use plain URLs, so keys that redirect a crawler elsewhere (`resolve`, `ca_file`) are refused.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from crawler.compare import determinism as order
from crawler.compare.run_process import Crashed, Stopped, last_line, run_watched, summary_of
from crawler.errors import CrawlerError, UsageError
from crawler.settings import SECRET, Settings, check_seed, merge_layers, open_scope, profile, read_file
from crawler.storage.directory import CrawlDirectory

PATIENCE = math.inf


class Task(NamedTuple):
    """The task of all entrants. `crawl` is an existing crawl of the site, `urls` a file of the URLs that answered it;
    `exclude` are expressions searched in paths."""

    url: str
    in_flight: int
    exclude: tuple[str, ...]
    configuration: Path | None
    crawl: Path
    urls: Path


class Reference(NamedTuple):
    """The required work, from the first crawl: the URLs requested, the count of each final status, the digest, the
    bytes stored."""

    urls: frozenset[str]
    statuses: dict[str, int]
    digest: str
    size: int


def check(url: str, exclude: Sequence[str], configuration: Path | None, mine: bool) -> Settings:
    """The settings of every crawl of a site. Raises UsageError where the site or a key is not allowed in a bench."""
    layers = [profile("fast"), read_file(configuration) if configuration else {}, {"seeds": (check_seed(url),)}]
    settings = merge_layers(*layers, {"exclude": tuple(exclude)} if exclude else {})
    open_scope(settings)
    if settings.delay:
        raise UsageError(f"delay = {settings.delay:g} would be what is measured, not the crawler: remove it")
    refused = order.limits(settings) + [key for key in ("resolve", "ca_file", *SECRET) if getattr(settings, key)]
    if refused:
        raise UsageError(f"raw loops and peers know nothing of {', '.join(refused)}: remove that")
    if not (mine or _on_this_machine(url)):
        raise UsageError(f"{url} would be asked as fast as it can answer: say --mine if it is yours")
    return settings


def prepare(task: Task, command: Sequence[str], environment: dict[str, str], stopped: Stopped) -> Reference:
    """Crawl the site once with `command` and write its URLs to a file. Raises CrawlerError, Interrupted."""
    folder = task.crawl.parent
    cost = run_watched(command, folder, environment, PATIENCE, stopped)
    try:
        summary = summary_of(cost, folder)
    except Crashed:
        raise CrawlerError(f"{task.url} cannot be crawled: {last_line(folder)}") from None
    directory = CrawlDirectory.open_readonly(task.crawl)
    if found := order.reached(directory.settings, summary):
        raise UsageError(f"what a crawl of {task.url} finds depends on the order of pages: {', '.join(found)}")
    with closing(directory.open_frontiers()) as frontier:
        rows = [row for row in frontier.settled() if row.attempts]
    answered = [row for row in rows if row.status]
    if not answered:
        raise UsageError(f"{task.url} does not answer: there is nothing to measure on")
    task.urls.write_text("\n".join(row.url for row in answered), encoding="utf-8")
    statuses = Counter(str(row.status) for row in answered)
    return Reference(frozenset(row.url for row in rows), dict(statuses), summary.digest, summary.bytes)


def _on_this_machine(url: str) -> bool:
    name = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
