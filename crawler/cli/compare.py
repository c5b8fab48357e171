"""`compare`: the same work by each engine in randomised blocks, checked by gates, with a report.

Exit codes: 0 all trials ran and every crawl did the right work; 1 some crawl did not, or (`verify`) records are
wrong or missing; 130, 143 interrupted: the measurements are kept, and `compare resume` continues.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from crawler.cli.compare_advise import advise
from crawler.cli.compare_site import OPTIONS, plan_on_site
from crawler.cli.lines import erase_line, names, on_interrupt, on_one_line, silent
from crawler.cli.options import given, with_options
from crawler.cli.signals import Signals
from crawler.compare.lessons.commands import lessons
from crawler.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from crawler.cli.lines import Say
    from crawler.compare.session import Progress

MOST_SHOWN = 10
QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")


@click.group(invoke_without_command=True)
@click.option("--preset", metavar="NAME", default="quick", show_default=True, help="smoke, quick or standard.")
@click.option("--modes", metavar="A,B", default="", help="Which modes take part.  [all]")
@click.option("--track", metavar="NAME", help="same: one client for all; idiomatic: the usual ones; all: both.")
@click.option("--clients", metavar="A,B", default="", help="HTTP clients instead of those of a track.")
@click.option("--loops", metavar="A,B", default="", help="Loops of async and prefork: uvloop, asyncio.  [uvloop]")
@click.option("--python", "pythons", multiple=True, metavar="PATH", help="Compare this interpreter, too. Repeatable.")
@click.option("--tls", is_flag=True, help="Over https, with a certificate of its own.")
@click.option("--open-loop", is_flag=True, help="Response times, too, at 70 % of the least peak.")
@click.option("--out", metavar="DIR", help="Where it is kept.  [comparisons/<preset>-<UTC time>]")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Decides the order of trials.")
@click.option("--predictions", metavar="FILE", help="What you expect, in TOML.  [what the package expects]")
@click.option("--lenient", is_flag=True, help="A busy machine or server only warns; wrong work is still void.")
@with_options(OPTIONS)
@QUIET
@click.pass_context
def compare(
    context: click.Context,
    /,
    preset: str,
    modes: str,
    track: str | None,
    clients: str,
    loops: str,
    pythons: tuple[str, ...],
    tls: bool,
    open_loop: bool,
    out: str | None,
    seed: int,
    predictions: str | None,
    lenient: bool,
    quiet: bool,
    **site: Any,
) -> int | None:
    """Compare the modes on the same work, on this machine.

    Webs of our own are served on loopback, so no network is needed, unless you name a site with --url or --urls: then
    there is neither an oracle nor a referee, and the arms only have to agree with each other. Presets: smoke (90 s, no
    claims), quick (about 10 minutes), standard (an hour).
    """
    if context.invoked_subcommand:
        return None
    signals = context.find_object(Signals)
    assert signals is not None
    signals.hold()
    from pathlib import Path

    import variants
    from crawler.compare.arms import LOOPS, Asked, arms_for
    from crawler.compare.design import LIVE, preset_of
    from crawler.compare.records import SAME
    from crawler.compare.run_process import Interrupted
    from crawler.compare.session import plan
    from crawler.compare.session_files import begin
    from crawler.compare.site import keep_configuration

    if track and clients:
        raise UsageError("--track chooses the clients, and so does --clients: give one of them")
    asked = given(site)
    wanted = Asked(
        names(modes) or variants.names(),
        names(clients),
        names(loops) or (LOOPS[:1] if asked else ()),  # a site is not asked more often than it has to be
        pythons,
        track or (SAME if asked else preset_of(preset).track),
    )
    arms = arms_for(wanted)
    try:
        chosen = plan_on_site(asked, lambda: bool(signals.received)) if asked else None
    except Interrupted:
        click.echo("stopped: nothing was measured yet")
        return signals.exit_code
    on_site = chosen.on_site if chosen else None
    expected = Path(predictions) if predictions else None
    session = plan(
        preset,
        arms,
        seed=seed,
        command=_command_line(),
        lenient=lenient,
        tls=tls,
        open_loop=open_loop,
        on_site=on_site,
        predictions=expected,
    )
    folder = _folder(out, LIVE if asked else preset)
    begin(folder, session)
    if chosen:
        keep_configuration(chosen.site, chosen.configuration, folder)
        if not quiet:
            click.echo(chosen.in_words(len(arms)), err=True)
    return carry_on(folder, signals, quiet)


compare.add_command(lessons)
compare.add_command(advise)


@compare.command(name="resume")
@click.argument("directory", metavar="DIR")
@QUIET
@click.pass_obj
def resume(signals: Signals, /, directory: str, quiet: bool) -> int:
    """Run what is still owed of the comparison in DIR, then write its report."""
    signals.hold()
    from pathlib import Path

    return carry_on(Path(directory), signals, quiet)


@compare.command(name="report")
@click.argument("directory", metavar="DIR")
def report(directory: str) -> int:
    """Write the report of the comparison in DIR again, from its raw trials."""
    from pathlib import Path

    write_report(Path(directory))
    return 0


@compare.command(name="verify")
@click.argument("directory", metavar="DIR")
def verify(directory: str) -> int:
    """Check DIR: what was fixed before; each planned trial once; all figures, computed again from the raw logs."""
    import hashlib
    from pathlib import Path

    from crawler.compare.merge import is_merged, verify_merged
    from crawler.compare.session_files import TRIALS, read_trials
    from crawler.compare.verify import unchecked
    from crawler.compare.verify import verify as verify_records

    folder = Path(directory)
    if is_merged(folder):
        problems, others = verify_merged(folder)
        click.echo(f"{'WRONG' if problems else 'fine'}: a merge of comparisons")
        return _tell(problems, others)
    problems, trials = verify_records(folder), read_trials(folder)
    voided = [trial for trial in trials if trial.failed]
    click.echo(f"{'WRONG' if problems else 'fine'}: {len(trials)} trials, {len(voided)} of them void")
    if trials:
        click.echo(f"  sha256     {hashlib.sha256((folder / TRIALS).read_bytes()).hexdigest()} of {TRIALS}")
    return _tell(problems, unchecked(folder))


def _tell(problems: list[str], unchecked: list[str]) -> int:
    """Print what a verification found; returns its exit code."""
    from crawler.system.text import escape_unprintable

    for head, lines in (("problem  ", problems), ("unchecked", unchecked)):
        for line in lines:
            click.echo(f"  {head}  {escape_unprintable(line)}")
    return 1 if problems else 0


@compare.command(name="merge")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True)
@click.option("--out", metavar="DIR", required=True, help="Where the merge is kept.")
def merge(directories: tuple[str, ...], out: str) -> int:
    """Put comparisons of one design on several machines side by side, and tell what all machines agree on."""
    from pathlib import Path

    from crawler.compare.merge import merge as merge_sessions

    merge_sessions([Path(directory) for directory in directories], Path(out))
    click.echo(f"  merged     {Path(out) / 'merge.html'}")
    return 0


def carry_on(folder: Path, signals: Signals, quiet: bool) -> int:
    """Run the missing trials, write the report, print the result; returns the exit code. Raises CrawlerError."""
    from crawler.compare.gates import warnings
    from crawler.compare.report import verdicts
    from crawler.compare.session import conduct
    from crawler.compare.session_files import read_session, read_trials
    from crawler.system.invocation import called
    from crawler.system.text import escape_unprintable

    click.echo(f"preregistered: sha256 {read_session(folder).preregistration}", err=True)
    signals.say = on_interrupt("what was measured is kept; press Ctrl-C again to end at once")
    whole = conduct(
        folder, stopped=lambda: bool(signals.received), on_progress=_shower(silent if quiet else on_one_line())
    )
    erase_line()
    trials = [trial for trial in read_trials(folder) if not trial.warm_up]
    voided = [trial for trial in trials if trial.failed]
    click.echo(f"{'complete' if whole else 'stopped'}: {len(trials)} trials, {len(voided)} of them void")
    for trial in voided[:MOST_SHOWN]:
        click.echo(f"  void       trial {trial.order}, {trial.arm}: {escape_unprintable(trial.failed[0])}")
    for line in warnings(trials):
        click.echo(f"  warning    {escape_unprintable(line)}")
    if trials:
        for line in verdicts(folder):
            click.echo(f"  {escape_unprintable(line)}")
        write_report(folder)
    if not whole:
        click.echo(f"  go on      {called()} compare resume {shlex.quote(str(folder))}")
        return signals.exit_code
    return 1 if any(trial.wrong for trial in trials) else 0


def write_report(folder: Path) -> None:
    """Write the report of a comparison and print its path. Raises CrawlerError."""
    from crawler.compare.report import write
    from crawler.compare.session_files import read_session, read_trials
    from crawler.system.invocation import called

    read_session(folder)
    if not read_trials(folder):
        raise UsageError(f"{folder} has no trials yet; go on with it: {called()} compare resume {folder}")
    write(folder)
    click.echo(f"  report     {folder / 'report.html'}")


def _shower(say: Say) -> Callable[[Progress], None]:
    """A function that shows the progress of a comparison."""
    return lambda progress: say(in_words(progress), progress.done == progress.of)


def in_words(progress: Progress) -> str:
    """The progress as one readable line."""
    from crawler.system.text import duration

    words = [f"{progress.done} of {progress.of} trials", f"about {duration(progress.left)} left"]
    if trial := progress.trial:
        condition = trial.condition
        words.append(
            f"{trial.arm}: {condition.sweep}, {condition.workload} web, {condition.concurrency} in flight,"
            f" {condition.latency * 1000:g} ms{', warm-up' if trial.warm_up else ''}"
        )
        if trial.metrics:
            rate = trial.metrics.get("steady_rate", trial.metrics["cold_rate"])
            words.append(f"{rate:.0f} pages/s")
        words += [f"VOID {reason}" for reason in trial.failed[:1]]
    return " · ".join(words)


def _command_line() -> str:
    from crawler.system.invocation import called

    return f"{called()} {shlex.join(sys.argv[1:])}"


def _folder(out: str | None, preset: str) -> Path:
    from datetime import UTC, datetime
    from pathlib import Path

    return Path(out) if out else Path("comparisons") / f"{preset}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
