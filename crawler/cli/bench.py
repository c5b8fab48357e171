"""`bench`: compares the speed of a crawl with a client that only fetches, and with other crawlers.

Exit codes: 0 all our modes did the same work; 1 at least one did not; 130, 143 interrupted, without a result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crawler.cli.bench_entrants import all_entrants, of_the_budget
from crawler.cli.bench_tls import BenchColumn, check_tls, over_tls, shown_tls
from crawler.cli.html_file import check_html, write_html
from crawler.cli.lines import erase_line, on_interrupt, on_one_line, silent
from crawler.cli.signals import Signals

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from crawler.bench.peers import Absent
    from crawler.bench.present import BenchTable
    from crawler.bench.race import RacePlan, Result
    from crawler.bench.web import BenchSite

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
@click.option("--html", metavar="FILE", help="Write the result as one HTML page, too.")
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
    html: str | None,
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

    import msgspec

    from crawler.bench.race import RacePlan, measure
    from crawler.compare.run_process import Interrupted
    from crawler.errors import UsageError

    if url and pages:
        raise UsageError("--pages is for the site that is served without --url")
    check_tls(url, tls, ca_file, budget)
    if html is not None:
        check_html(Path(html), "--html")
    absent: list[Absent] = []
    plan = RacePlan(
        entrants=() if tls else of_the_budget() if budget else all_entrants(modes, peers, absent),
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
        shown = shown_tls(found, agreed, site.counts is not None)
    else:
        shown = _shown_budget(found) if budget else _shown(found, absent)
    click.echo(msgspec.json.encode(shown.fields).decode() if as_json else "\n".join(shown.table.lines))
    if html is not None:
        _write(Path(html), shown.table)
    return shown.exit_code


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


def _shown(found: Result, absent: list[Absent]) -> BenchColumn:
    """The result of all entrants."""
    from crawler.bench.present import as_json, of_ours, table

    fields, equal = as_json(*found, absent), all(score.equal for score in of_ours(found.scores))
    return BenchColumn(fields, table(*found, absent), 0 if equal else 1)


def _shown_budget(found: Result) -> BenchColumn:
    """What each stage took; the exit code is 1 where one is over its budget."""
    from crawler.bench.budget import as_fields, as_table, spent_by

    spent = spent_by(found.scores)
    wrong = any(score.wrong for score in found.scores) or any(one.is_over for one in spent)
    return BenchColumn(as_fields(spent), as_table(spent, found.scores), 1 if wrong else 0)


def _write(html: Path, table: BenchTable) -> None:
    """Write the page of a result. Raises StorageError."""
    import shlex
    import sys
    from time import time

    from crawler.bench.page import page
    from crawler.report.conditions import versions
    from crawler.report.html import moment
    from crawler.system.invocation import called

    command = f"{called()} {shlex.join(sys.argv[1:])}"
    write_html(html, page(table, {"written": moment(time()), "by": command} | dict(versions())), "--html")
