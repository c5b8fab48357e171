"""`compare --url` and `--urls`: turns the options into a new comparison on a site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from crawler.compare.records import Condition, Site

OPTIONS = (
    click.option("--url", metavar="URL", help="Compare on this site instead of webs of our own, politely."),
    click.option("--urls", metavar="FILE", help="Compare on the URLs in this file, one a line."),
    click.option("--profile", metavar="NAME", help="polite, or fast for a site of your own.  [polite]"),
    click.option("--config", metavar="FILE", help="Configuration of the crawls of a site."),
    click.option("--pages", type=click.IntRange(1, 1000), metavar="N", help="Pages of --url.  [50]"),
    click.option("--blocks", type=click.IntRange(min=1), metavar="N", help="Blocks on a site.  [5]"),
    click.option("--concurrency", type=click.IntRange(1, 1000), metavar="N", help="Fetches in flight there.  [16]"),
)
PAGES, BLOCKS, CONCURRENCY = 50, 5, 16


class SitePlan(NamedTuple):
    """A comparison on a site that is not begun yet."""

    site: Site
    condition: Condition
    blocks: int
    configuration: Path | None

    @property
    def on_site(self) -> tuple[Site, Condition, int]:
        """The site, the condition and the blocks."""
        return self.site, self.condition, self.blocks

    def in_words(self, arms: int) -> str:
        """The plan in one line."""
        from crawler.system.text import duration

        crawls, urls = arms * (self.blocks + 1), len(self.site.urls)
        least = crawls * urls * self.condition.delay / self.condition.hosts
        rests = f", at least {duration(least)} of rests" if least else ""
        return f"{crawls} crawls of {urls} URLs{rests}; no oracle and no referee: the arms must agree with each other"


def plan_on_site(asked: dict[str, Any], stopped: Callable[[], bool]) -> SitePlan:
    """Choose the URLs to compare on; `asked` holds the OPTIONS that were given. Raises CrawlerError, Interrupted."""
    from pathlib import Path

    from crawler.compare import site as sites
    from crawler.compare.records import Site
    from crawler.errors import UsageError

    if ("url" in asked) == ("urls" in asked):
        raise UsageError("a comparison on a site needs either --url or --urls")
    if "pages" in asked and "urls" in asked:
        raise UsageError("--pages is for --url; a file of URLs is taken whole")
    configuration = Path(asked["config"]).absolute() if "config" in asked else None
    profile = asked.get("profile", "polite")
    settings = sites.manners(profile, configuration)
    if "urls" in asked:
        urls = sites.listed(sites.lines(Path(asked["urls"])))
    else:
        first = sites.listed([asked["url"]])[0]
        urls = sites.walk(first, asked.get("pages", PAGES), profile, configuration, stopped)
    named = asked.get("url") or asked["urls"]
    site = Site(named=named, urls=urls, profile=profile, configured=configuration is not None)
    condition = sites.condition(site, settings, asked.get("concurrency", CONCURRENCY))
    return SitePlan(site, condition, asked.get("blocks", BLOCKS), configuration)
