"""`bench`: compares the speed of a crawl with a client that only fetches, and with other crawlers.

Exit codes: 0 all our modes did the same work; 1 at least one did not; 130, 143 interrupted, without a result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crawler.cli.bench_tls import check_tls, over_tls, show_tls
from crawler.cli.lines import erase_line, names, on_interrupt, on_one_line, silent
from crawler.cli.signals import Signals

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from crawler.bench.entrants import Entrant
    from crawler.bench.peers import Absent
    from crawler.bench.race import RacePlan, Result
    from crawler.bench.web import BenchSite

NONE = "none"
PAGES = 4000
TLS_PAGES = 1000


@click.command()
@click.option("--url", metavar="URL", help="Measure on this site, as fast as it can answer.  [one of our own]")
@click.option("--mine", is_flag=True, help="The site is yours, though it is not on this machine.")
@click.option(
    "--pages", type=click.IntRange(10, 100_000), metavar="N", help="Pages of our own site.  [4000; --tls 1000]"
)
@click.option("--modes", metavar="A,B", default="", help="Modes, or mode+client.  [all]")
@click.option("--peers", metavar="A,B", default="", help="scrapy, crawlee, wget2 or none.  [those that are there]")
@click.option("--concurrency", type=click.IntRange(1, 1000), metavar="N", default=32, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 100), metavar="N", default=5, show_default=True)
@click.option("--exclude", multiple=True, metavar="RE", help="No path in which this is found. Repeatable.")
@click.option("--config", metavar="FILE", help="Configuration of the crawls, on top of the profile fast.")
@click.option("--budget", is_flag=True, help="Measure each stage of a page against its budget instead.")
@click.option(
    "--tls", is_flag=True, help="Measure the raw loops over https instead, with kept and with new connections."
)
@click.option("--ca-file", metavar="FILE", help="Certificates (PEM) to trust, for --tls with --url.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@click.pass_obj
def bench(
    signals: Signals,
    /,
    url: str | None,
    mine: bool,
    pages: int | None,
    modes: str,
    peers: str,
    concurrency: int,
    rounds: int,
    exclude: tuple[str, ...],
    config: str | None,
    budget: bool,
    tls: bool,
    ca_file: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Measure raw client loops, single stages and whole crawls by every mode over one site, on this machine.

    Prints ratios to the raw aiohttp loop and checks that all did the same work. Without --url nothing leaves this
    machine. Scrapy, Crawlee (both in the extra `peers`) and wget2 take part where they are installed.
    """
    signals.hold()
    signals.say = on_interrupt("an unfinished bench has no result")
    from pathlib import Path

    from crawler.bench.race import RacePlan, measure
    from crawler.compare.run_process import Interrupted
    from crawler.errors import UsageError

    if url and pages:
        raise UsageError("--pages is for the site that is served without --url")
    check_tls(url, tls, ca_file, budget)
    absent: list[Absent] = []
    plan = RacePlan(
        entrants=() if tls else _of_the_budget() if budget else _all(modes, peers, absent),
        in_flight=concurrency,
        rounds=rounds,
        exclude=exclude,
        configuration=Path(config).absolute() if config else None,
    )
    try:
        with _site(url, pages, plan, mine, tls, ca_file) as site:
            show = silent if quiet else on_one_line()
            agreed, plan = over_tls(site, plan) if tls else ("", plan)
            found = measure(site, plan, stopped=lambda: bool(signals.received), on_progress=show)
    except Interrupted:
        return signals.exit_code
    finally:
        erase_line()
    if tls:
        return show_tls(found, agreed, site.counts is not None, as_json)
    return _show_budget(found, as_json) if budget else _show(found, absent, as_json)


def _site(
    url: str | None, pages: int | None, plan: RacePlan, mine: bool, tls: bool, ca_file: str | None
) -> AbstractContextManager[BenchSite]:
    """The site to measure on, while it is served: the user's, or one of our own. Raises UsageError."""
    from contextlib import nullcontext
    from pathlib import Path

    from crawler.bench.task import check
    from crawler.bench.web import SITE, BenchSite, served

    (site,) = check(url or SITE, plan.exclude, plan.configuration, mine).seeds
    if url:
        return nullcontext(BenchSite(site, str(Path(ca_file).absolute()) if ca_file else ""))
    return served(pages or (TLS_PAGES if tls else PAGES), tls=tls)


def _show(found: Result, absent: list[Absent], as_json: bool) -> int:
    """Print the result; returns the exit code."""
    import msgspec

    from crawler.bench.present import as_json as in_json
    from crawler.bench.present import of_ours, table

    if as_json:
        click.echo(msgspec.json.encode(in_json(*found, absent)).decode())
    else:
        click.echo("\n".join(table(*found, absent)))
    return 0 if all(score.equal for score in of_ours(found.scores)) else 1


def _modes(listed: str) -> tuple[str, ...]:
    """The requested modes, each with or without a client. Raises UsageError for an unknown one."""
    import variants
    from crawler.fetch import check_client
    from crawler.settings import Settings

    words = names(listed) or variants.names()
    for word in words:
        mode, _, client = word.partition("+")
        check_client(variants.client_of(Settings(mode=mode, client=client or None)))
    return words


def _show_budget(found: Result, as_json: bool) -> int:
    """Print what each stage took; returns the exit code, 1 where one is over its budget."""
    import msgspec

    from crawler.bench.budget import as_fields, as_table, spent_by

    spent = spent_by(found.scores)
    wrong = [f"WRONG: {score.entrant.name}: {score.wrong}" for score in found.scores if score.wrong]
    if as_json:
        click.echo(msgspec.json.encode(as_fields(spent)).decode())
    else:
        click.echo("\n".join([*as_table(spent), *wrong]))
    return 1 if wrong or any(one.is_over for one in spent) else 0


def _of_the_budget() -> tuple[Entrant, ...]:
    from crawler.bench.budget import ENTRANTS
    from crawler.bench.entrants import RAW

    return (RAW, *ENTRANTS)


def _all(modes: str, peers: str, absent: list[Absent]) -> tuple[Entrant, ...]:
    """What a bench measures; what is not installed is added to `absent`. Raises UsageError for an unknown mode or
    peer."""
    from crawler.bench.entrants import RAW, Mode

    there, missing = _peers(peers)
    alone = _alone(absent)
    absent += missing
    return (RAW, *alone, *map(Mode, _modes(modes)), *there)


def _alone(absent: list[Absent]) -> list[Entrant]:
    """The raw loops and the stages; a loop whose client is not installed is added to `absent`."""
    from importlib.util import find_spec

    from crawler.bench.entrants import ALONE, CURL
    from crawler.bench.peers import Absent
    from crawler.system.invocation import pip_install

    if find_spec("pycurl") is not None:
        return list(ALONE)
    absent.append(Absent(CURL.name, pip_install("clients")))
    return [one for one in ALONE if one is not CURL]


def _peers(listed: str) -> tuple[list[Entrant], list[Absent]]:
    """The requested peers that are installed, and those that are not. Raises UsageError for an unknown one."""
    from crawler.bench.peers import NAMES, find
    from crawler.errors import UsageError

    words = () if listed == NONE else names(listed) or NAMES
    for word in words:
        if word not in NAMES:
            raise UsageError(f"unknown peer {word!r} (there are: {', '.join(NAMES)}, or {NONE})")
    return find(words)
