"""The flags that crawl and resume share. A flag is named after its configuration key; only given flags set a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from crawler.cli.signals import Signals

Command = TypeVar("Command", bound=Callable[..., Any])

ENGINE = (
    click.option("--mode", metavar="NAME", help="async, threads, processes, prefork or ray.  [async]"),
    click.option("--client", metavar="NAME", help="native; or aiohttp (async, prefork, ray); curl, urllib3 (others)."),
    click.option("--loop", metavar="NAME", help="Of async, prefork, ray: uvloop or asyncio.  [uvloop where installed]"),
    click.option("--concurrency", type=int, metavar="N", help="Fetches in flight.  [async, prefork 100, others 32]"),
    click.option("--processes", type=int, metavar="N", help="Worker processes or shards.  [one per core]"),
    click.option("--threads-per-process", type=int, metavar="N", help="Fetches in flight in each."),
    click.option("--shards", type=int, metavar="N", help="Of ray: shards of the crawl.  [one per core]"),
    click.option("--ray-address", metavar="ADDR", help="Of ray: local, auto or HOST:PORT.  [local]"),
)
POLITENESS = (
    click.option("--delay", type=float, metavar="S", help="Seconds between two fetches of a host.  [1]"),
    click.option("--per-host", type=int, metavar="N", help="Connections to a host without a delay.  [1]"),
    click.option("--no-robots", "robots", is_flag=True, flag_value=False, default=None, help="Ignore robots.txt."),
    click.option("--user-agent", metavar="TEXT", help="User-Agent header to send."),
    click.option("--proxy", metavar="URL", help="Fetch through http://, https:// or socks5h:// HOST:PORT."),
    click.option("--timeout", type=float, metavar="S", help="Longest time for one fetch, in seconds.  [60]"),
)
LIMITS = (
    click.option("--max-pages", type=int, metavar="N", help="Fetch at most N URLs."),
    click.option("--max-bytes", type=int, metavar="N", help="Store at most about N bytes."),
    click.option(
        "--max-memory", metavar="SIZE", help="Use at most this much memory (512M, 2G).  [half of what there is]"
    ),
    click.option("--max-depth", type=int, metavar="N", help="Follow links up to N steps from the seeds."),
    click.option("--fail-on", multiple=True, metavar="EXPR", help="Exit 4 if: incomplete, errors>5%, pages<100 ..."),
)
SCOPE = (
    click.option("--scope", metavar="REACH", help="Hosts to crawl: site, host, domain or any.  [site]"),
    click.option("--include", multiple=True, metavar="RE", help="Only paths that match. Repeatable."),
    click.option("--exclude", multiple=True, metavar="RE", help="Skip paths that match. Repeatable."),
    click.option("--sitemaps/--no-sitemaps", default=None, help="Follow the sitemaps that robots.txt names.  [no]"),
    click.option("--filter", metavar="MODULE:NAME", help="Crawl URLs for which this Python function is true."),
    click.option("--store", metavar="NAME", help="sqlite, files or s3://BUCKET/PREFIX.  [sqlite]"),
    click.option("--frontier", metavar="URL", help="Keep URLs in postgresql://[USER@]HOST/DATABASE.  [files]"),
)
CONFIGURATION = (
    click.option("--config", metavar="FILE", help="TOML file; `config init` writes one with every key."),
    click.option("--profile", metavar="NAME", help="polite, fast or demo."),
)
AGAIN = (
    click.option("--retry-failed", is_flag=True, help="Fetch again every URL that ended with an error."),
    click.option(
        "--retry-reason", multiple=True, metavar="NAME", help="Fetch again the URLs with this reason. Repeatable."
    ),
)
SEEDS = (
    click.option("--seeds", "seed_file", metavar="FILE", help="Read URLs from FILE, one a line; - is standard input."),
    click.option("--sitemap", multiple=True, metavar="URL", help="Crawl what this sitemap lists. Repeatable."),
    click.option("--add-seeds", is_flag=True, help="Add the URLs named here to the crawl."),
)
GENERATION = (click.option("--generation", type=int, metavar="N", help="Which generation.  [the last]"),)
OUTPUT = (
    click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object."),
    click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
    click.option("-v", "--verbose", is_flag=True, help="A line on stderr for each URL that has ended."),
    click.option("--log-format", type=click.Choice(("text", "json")), help="Progress as lines.  [json off a terminal]"),
)


SECTIONS = {
    "Engine": ENGINE,
    "Politeness": POLITENESS,
    "Limits": LIMITS,
    "Scope and storage": SCOPE,
    "Asking again": AGAIN,
    "Configuration": CONFIGURATION,
    "Output": OUTPUT,
}
"""The groups of options, as --help shows them."""


class Sectioned(click.Command):
    """A command whose --help lists its options in the groups of SECTIONS; what is in none of them comes first."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, a section for each group."""
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        rows = {one.name or "": row for one in options if (row := one.get_help_record(ctx))}
        sections = [
            (title, [row for name in _named(group) if (row := rows.pop(name, None))])
            for title, group in SECTIONS.items()
        ]
        for title, found in [("Options", [*rows.values()]), *sections]:
            if found:
                with formatter.section(title):
                    formatter.write_dl(found)


def _named(group: tuple[Callable[[Callable[[], None]], Callable[[], None]], ...]) -> list[str]:
    """The parameter names of a group of options, in its order."""

    def nothing() -> None:
        pass

    for option in reversed(group):
        option(nothing)
    return [one.name or "" for one in click.command(nothing).params]


def with_options(*groups: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    """Decorate a command with groups of options; --help lists them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate


def all_seeds(urls: tuple[str, ...], seed_file: str | None, signals: Signals) -> tuple[str, ...]:
    """The URLs of the command line, then those of the file. A signal ends the process: nothing has begun. Raises
    UsageError."""
    if seed_file is None:
        return urls
    signals.release()
    from crawler.settings.seed_file import read_seeds

    return (*urls, *read_seeds(seed_file))


def given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were given, as one layer of settings."""
    return {key: value for key, value in flags.items() if value is not None and value != ()}
