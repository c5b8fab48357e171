"""The task of a comparison on a real site: a fixed list of URLs, and the crawler's politeness.

Rules, and why:
- The pages found by a limited crawl depend on the order of fetches, so arms follow no links. Where the user names a
  site, one uncounted crawl walks it first, up to a number of pages; those that answered 200 are the list. Every arm
  then fetches exactly that (`--max-depth 0`).
- Politeness is the crawler's default, 1 s per host, unless the user's profile or configuration sets another. A
  configuration with a limit that depends on order is refused.
- The configuration is copied into the folder of the comparison, so that a later resume uses the same.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from crawler.compare import determinism as order
from crawler.compare import workload
from crawler.compare.design import LIVE
from crawler.compare.records import Arm, Condition, Site
from crawler.compare.run_process import Stopped, last_line, run_watched
from crawler.core.reasons import Reason
from crawler.core.urls.canonical import host_of
from crawler.errors import UsageError
from crawler.settings import Settings, check_seed, merge_layers, profile, read_file
from crawler.storage.directory import CrawlDirectory

CONFIGURATION = "site.toml"
MOST_URLS = 1000
"""Maximum number of URLs, so that they fit on a command line."""


def manners(profile_name: str, configuration: Path | None) -> Settings:
    """The settings for crawls of the site. Raises UsageError, also for limits that depend on order."""
    settings = merge_layers(profile(profile_name), read_file(configuration) if configuration else {})
    if found := order.limits(settings):
        raise UsageError(f"a comparison must not depend on the order of pages: remove {', '.join(found)}")
    if settings.secret_origins:
        raise UsageError("a comparison keeps a copy of its configuration: remove headers and credentials")
    return settings


def listed(urls: Iterable[str]) -> tuple[str, ...]:
    """Distinct URLs in canonical form. Raises UsageError for none, for too many, for an invalid one."""
    found = tuple(dict.fromkeys(check_seed(url.strip()) for url in urls if url.strip() and not url.startswith("#")))
    if not found:
        raise UsageError("there is no URL to compare on")
    if len(found) > MOST_URLS:
        raise UsageError(f"{len(found)} URLs are too many for a comparison on a live site; at most {MOST_URLS}")
    return found


def lines(path: Path) -> list[str]:
    """The lines of a file of URLs. Raises UsageError."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the URLs in {path}: {error}") from error


def walk(url: str, pages: int, profile_name: str, configuration: Path | None, stopped: Stopped) -> tuple[str, ...]:
    """The pages of a site that answered 200, found from `url` by one crawl. Raises CrawlerError where there is none,
    Interrupted."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        words = [*_flags(profile_name, configuration, folder / "crawl"), f"--max-pages={pages}", url]
        command = [sys.executable, "-m", "crawler", *words]
        run_watched(command, folder, workload.child_environment(), math.inf, stopped)
        try:
            with closing(CrawlDirectory.open_readonly(folder / "crawl").open_frontiers()) as frontier:
                found = tuple(row.url for row in frontier.settled() if row.reason is Reason.OK and row.status == 200)
        except UsageError:
            raise UsageError(f"{url} cannot be walked: {last_line(folder)}") from None
    if not found:
        raise UsageError(f"no page of {url} answered 200: there is nothing to compare on")
    return found


def condition(site: Site, settings: Settings, concurrency: int) -> Condition:
    """The one condition of a comparison on a site. Latency and page size depend on the site, so they are 0 here."""
    hosts = len({host_of(url) for url in site.urls})
    return Condition(
        sweep="headline",
        workload=LIVE,
        pages=len(site.urls),
        concurrency=concurrency,
        latency=0.0,
        payload=0,
        hosts=hosts,
        delay=settings.delay,
    )


def keep_configuration(site: Site, configuration: Path | None, folder: Path) -> None:
    """Copy the user's configuration into the folder of the comparison. Raises OSError."""
    if site.configured and configuration:
        shutil.copyfile(configuration, folder / CONFIGURATION)


def configuration_of(site: Site, folder: Path) -> Path | None:
    """The path of the copy, None where there is no configuration."""
    return folder / CONFIGURATION if site.configured else None


def command(arm: Arm, site: Site, one: Condition, configuration: Path | None, out: Path) -> list[str]:
    """The command line of one trial."""
    words = [*workload.crawler_of(arm), *_flags(site.profile, configuration, out)]
    return [*words, *workload.engine_flags(arm, one), "--max-depth", "0", *site.urls]


def _flags(profile_name: str, configuration: Path | None, out: Path) -> list[str]:
    words = ["--profile", profile_name, "--out", str(out), "--json", "-q"]
    return [*words, "--config", str(configuration)] if configuration else words
