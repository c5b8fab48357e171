"""From a condition to a workload: the web to serve, the result a crawl of it must have, and the flags of an engine.

Rules, and why:
- Every engine gets the same number of fetches in flight, or the comparison would measure that number. Processes share
  them, so there are as many as asked for, else one per core, but no more than fetches in flight.
- "flat" is one host with a listing, and no rest: only the engine matters. Its pages take lognormal times. "graph" is
  the demo web without a rest, "polite" the same with one: there politeness is the limit, and engines should tie.
- A trial has its own environment, without the CRAWLER_* variables of the user.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from crawler.compare.envelope import least
from crawler.compare.placement import place_server
from crawler.compare.records import Arm, Condition
from crawler.core.reasons import NotFollowed
from crawler.runtime.job import cores
from crawler.settings import ENVIRONMENT
from crawler.testweb.document import AnyWeb
from crawler.testweb.draw import SeededRandom
from crawler.testweb.flat import FlatWeb
from crawler.testweb.oracle import Expected, crawl_digest, expected
from crawler.testweb.process import StartedWeb, start_web
from crawler.testweb.settings import to_toml
from crawler.testweb.web import Web

FLAT, GRAPH, POLITE = "flat", "graph", "polite"
BESIDE_RAW = frozenset({"headline", "concurrency", "latency", "payload"})
SEED = 1
MAX_LINKS = 5000
SLOWEST_PAGE = 0.02
PATIENCE = 60.0
HEARTBEAT = 0.02
MOST_PADDING = 4096


class Oracle(NamedTuple):
    """The result that any crawl of a web must have, computed without crawling. `seconds`: the lower bound of its
    duration under the condition. `left_out`: how many links of its pages are not followed, by kind; only an engine that
    parses every page can count them."""

    web: AnyWeb
    ends: Mapping[str, Expected]
    digest: str
    seconds: float
    left_out: Mapping[NotFollowed, int]


@lru_cache(maxsize=4)
def oracle_of(condition: Condition) -> Oracle:
    """The oracle of a condition's web."""
    web: AnyWeb
    if condition.workload == FLAT:
        web = FlatWeb(
            condition.pages,
            condition.latency,
            condition.payload,
            condition.errors,
            "https" if condition.tls else "http",
            condition.spread,
        )
        ends = expected(web)
        left_out = {NotFollowed.OUT_OF_SCOPE: web.left_out}
    else:
        web = Web(SEED, condition.hosts, condition.pages)
        ends = expected(web)
        left_out = {NotFollowed.SCHEME: web.left_out(ends)}
    seconds = least(web, ends, condition.concurrency, condition.delay)
    return Oracle(web, ends, crawl_digest(ends), seconds, left_out)


def serve(condition: Condition, log: Path) -> StartedWeb:
    """Start the web of a condition in its own process, on its own port and core. Raises CrawlerError.

    With TLS the certificate to trust is written beside the log.
    """
    if condition.workload == FLAT:
        web = start_web(
            flat=condition.pages,
            latency=condition.latency,
            spread=condition.spread,
            size=condition.payload,
            errors=condition.errors,
            log=log,
            authority=authority_of(condition, log.parent),
        )
    else:
        web = start_web(seed=SEED, hosts=condition.hosts, pages=condition.pages, log=log)
    place_server(web.process.pid)
    return web


def authority_of(condition: Condition, folder: Path) -> Path | None:
    """The certificate to trust of a web with TLS that logs into a folder."""
    return folder / "authority.pem" if condition.tls else None


def write_configuration(condition: Condition, web: StartedWeb, path: Path) -> None:
    """Write the configuration that lets a crawler reach the web, and sets the CPU cost of each page."""
    links = max(MAX_LINKS, condition.pages) if condition.workload == FLAT else MAX_LINKS
    keys = f"report = false\nmax_links = {links}\nheartbeat = {HEARTBEAT}\nspin = {condition.cpu_ms / 1000}\n"
    path.write_text(keys + to_toml(web.settings), encoding="utf-8")


def flags(arm: Arm, condition: Condition, configuration: Path, out: Path) -> list[str]:
    """The arguments of the crawler for one trial."""
    profile = "fast" if condition.workload == FLAT else "demo"
    words = ["--profile", profile, "--config", str(configuration), "--out", str(out), "--json", "-q"]
    words += ["--delay", str(condition.delay), "--per-host", str(per_host(condition))]
    return words + engine_flags(arm, condition)


def command(arm: Arm, condition: Condition, configuration: Path, out: Path) -> list[str]:
    """The whole command of one trial."""
    return [*crawler_of(arm), *flags(arm, condition, configuration, out)]


def crawler_of(arm: Arm) -> list[str]:
    """The crawler, run by the interpreter of an arm."""
    return [arm.python or sys.executable, "-m", "crawler"]


def engine_flags(arm: Arm, condition: Condition) -> list[str]:
    """The flags of an engine: its mode, client and loop, and how many processes share the fetches in flight."""
    words = ["--mode", arm.mode, "--client", arm.client, "--concurrency", str(condition.concurrency)]
    words += ["--loop", arm.loop] if arm.loop else []
    if arm.mode in ("processes", "prefork"):
        words += ["--processes", str(min(condition.workers or cores(), condition.concurrency))]
    return words


def per_host(condition: Condition) -> int:
    """How many pages of a host may be fetched at once."""
    return 1 if condition.workload == POLITE else condition.concurrency


def patience(condition: Condition) -> float:
    """Timeout of a trial in seconds: far more than any working engine needs."""
    waiting = condition.pages * (condition.latency / condition.concurrency + condition.cpu_ms / 1000 + SLOWEST_PAGE)
    return PATIENCE + 5 * waiting + 3 * oracle_of(condition).seconds


def child_environment(dice: SeededRandom | None = None) -> dict[str, str]:
    """The environment of a child process. Hash seed and size of the environment vary between trials (`dice`): both
    change memory layout and thus speed (Mytkowicz et al., "Producing wrong data without doing anything obviously
    wrong", ASPLOS 2009), so no arm may have one layout by accident."""
    hash_seed, padding = (dice.below(2**32), dice.below(MOST_PADDING)) if dice else (0, 0)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT)}
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, kept.get("PYTHONPATH")]))
    return kept | {"PYTHONPATH": path, "PYTHONHASHSEED": str(hash_seed), "COMPARE_PADDING": "." * padding}
