"""From a command line to a plan: which directory, which settings, new or resumed.

Rules:
- Everything that can be checked without writing to disk is checked here, before anything is created.
- Later layers win: defaults, the last run of the directory (on resume), profile, file, environment, flags. A resume
  that would change the seeds, the scope or how pages are stored (`directory.IMMUTABLE_KEYS`) is refused.
- A client belongs to its mode: a resume that changes the mode uses the new mode's default client.
- A try that fetched nothing leaves no directory, unless --out named one.
- Without any URL, and nothing to resume: the built-in test web with the demo profile.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from crawler.core.reasons import Ending
from crawler.core.urls.canonical import host_of
from crawler.errors import StorageError, UsageError
from crawler.fetch import check_client
from crawler.metrics.summary import Summary
from crawler.run import NOTHING_MORE, kept_settings
from crawler.runtime.callbacks import callbacks_of
from crawler.settings import (
    RETIRED,
    Settings,
    check_authority,
    merge_layers,
    open_scope,
    profile,
    read_environment,
    read_file,
)
from crawler.storage.directory import CrawlDirectory
from crawler.storage.generations import last_of
from crawler.storage.opening import check_packages
from crawler.storage.reopening import Wanted, check_names

CRAWLS = Path("crawls")
LONGEST_NAME = 200


class Order(NamedTuple):
    """The parsed command line. `flags` are configuration keys. `recrawl`: make the next generation of a crawl."""

    flags: Mapping[str, Any]
    config: str | None = None
    profile: str | None = None
    resume: bool = False
    fresh: bool = False
    wanted: Wanted = NOTHING_MORE
    recrawl: bool = False


class Plan(NamedTuple):
    """The checked plan of a run. `path` None: a new directory with the default name. `added`: how many seeds a crawl is
    given that it did not have. `retired` keys have no effect. `memory_note`: what was lowered to fit into memory."""

    path: Path | None
    settings: Settings
    resume: bool
    fresh: bool
    demo: bool
    added: int
    retired: tuple[str, ...]
    wanted: Wanted
    memory_note: str = ""
    recrawl: bool = False


def make_plan(order: Order) -> Plan:
    """Check an order and complete it. Raises UsageError; StorageError where a directory to resume cannot be read."""
    import variants

    if order.resume and order.fresh:
        raise UsageError("--resume continues a crawl and --fresh replaces it: choose one")
    check_names(order.wanted.reasons)
    if order.wanted and not order.resume:
        raise UsageError("--retry-failed, --retry-reason and --add-seeds need an existing crawl: add --resume")
    said = [read_file(Path(order.config)) if order.config else {}, read_environment(), order.flags]
    profiled = profile(order.profile) if order.profile else {}
    out = next((layer["out"] for layer in reversed(said) if "out" in layer), None)
    path = Path(merge_layers({"out": out}).out or "") if out is not None else None
    exists = path is not None and order.resume and CrawlDirectory.exists(path)
    known = CrawlDirectory.open_readonly(last_of(path)) if path and exists else None
    named = any(layer.get("seeds") or layer.get("sitemap") for layer in (profiled, *said))
    if order.wanted.seeds and not named:
        raise UsageError("--add-seeds needs the seeds to add: name at least one URL")
    if known:
        demo = known.manifest.demo
        if demo and order.wanted.seeds:
            raise UsageError(f"{path} is a crawl of the built-in test web, which takes no other seeds")
        settings = merge_layers(_stored(known, profiled, *said), profiled, *said)
        settings = kept_settings(known, settings, order.wanted, fetches=order.recrawl)
        added = len(settings.seeds) - len(set(known.settings.seeds))
    else:
        demo = not named
        settings = merge_layers(profile("demo") if demo and not order.profile else profiled, *said)
        added = 0
    check_client(variants.client_of(settings))
    variants.check_loop(settings.mode, settings.loop)
    variants.check_cluster(settings)
    _, memory = variants.fit(settings)
    open_scope(settings)
    callbacks_of(settings)
    check_authority(settings)
    check_packages(settings)
    # the directory may be moved, so its path is not stored in its settings
    settings = msgspec.structs.replace(settings, out=None)
    retired = tuple(key for key in RETIRED if any(key in layer for layer in said))
    return Plan(
        path, settings, order.resume, order.fresh, demo, added, retired, order.wanted, memory.note, order.recrawl
    )


def _stored(known: CrawlDirectory, *later: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the last run as a layer, without its client where the mode changes."""
    layer = dict(known.manifest.settings)
    mode = next((one["mode"] for one in reversed(later) if "mode" in one), known.settings.mode)
    if mode != known.settings.mode:
        layer.pop("client", None)
    return layer


def useless(plan: Plan, summary: Summary) -> bool:
    """Whether nothing is worth keeping: nothing could be fetched into a directory that nobody has named."""
    return plan.path is None and summary.ending == Ending.FAILED


def discard(path: Path) -> None:
    """Remove a directory that `new_path` made, and the folder of crawls where it is empty then. What cannot be removed
    stays: the crawl has ended, and how is more important."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.parent.rmdir()


def new_path(plan: Plan) -> Path:
    """Create a new directory `crawls/<host>-<UTC time>`, numbered where that exists. Raises StorageError."""
    name = "demo" if plan.demo else host_of(plan.settings.seeds[0]).partition("://")[2]
    name = name.replace(":", "-").strip("[]")[:LONGEST_NAME]
    stem = f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for number in count(1):
        path = CRAWLS / (stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir(parents=True)
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}; choose another --out") from error
    return path
