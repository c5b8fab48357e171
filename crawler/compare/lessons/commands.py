"""The command `lessons`."""

from __future__ import annotations

from difflib import get_close_matches

import click

from crawler.errors import UsageError


@click.command()
@click.option("--only", "chosen", metavar="NAME", multiple=True, help="Only this lesson; may be given several times.")
@click.option("--python", metavar="PATH", help="Run them on this Python, from 3.11 on; no package needed.  [this one]")
@click.option("--list", "listing", is_flag=True, help="Name the lessons and what tutorials say, and run none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every sample, and nothing else.")
@click.option("--out", metavar="DIR", help="Where the report is kept.  [comparisons/lessons-<UTC time>]")
@click.pass_context
def lessons(
    context: click.Context, chosen: tuple[str, ...], python: str | None, listing: bool, as_json: bool, out: str | None
) -> None:
    """Measure what tutorials say about threads, processes and coroutines: claim, prediction, outcome.

    About two minutes; nothing leaves this machine. Ends with exit code 1 if a lesson failed to run.
    """
    import sys
    from datetime import UTC, datetime
    from pathlib import Path

    from crawler.compare.lessons import present
    from crawler.compare.lessons.experiments import NAMES, load
    from crawler.compare.lessons.interpreter import interpreter
    from crawler.compare.lessons.predictions import read
    from crawler.compare.lessons.runner import conditions, teach

    if (signals := context.obj) is not None:
        signals.release()  # nothing has to be cleaned up: Ctrl-C ends it at once
    names = [_known(name, NAMES) for name in chosen] or list(NAMES)
    if listing:
        for name in names:
            click.echo(f"{name:18} {load(name).claim}")
        return
    used, predictions, outcomes = interpreter(python or sys.executable), read(), []
    where = conditions(used, predictions)
    folder = Path(out or f"comparisons/lessons-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror}; name another directory") from error
    if not as_json:
        click.echo(f"{where['python']}; {where['cores']} cores; predictions: {where['predictions']}\n{present.HEAD}")
    for name in names:
        outcomes.append(teach(name, used, predictions))
        if not as_json:
            click.echo(present.verdict(outcomes[-1]))
    report = folder / "report.html"
    report.write_text(present.page(outcomes, where), encoding="utf-8")
    (folder / "outcomes.json").write_bytes(present.as_json(outcomes, where))
    click.echo(present.as_json(outcomes, where) if as_json else f"{present.total(outcomes)}\nreport: {report}")
    context.exit(int(any(outcome.trouble for outcome in outcomes)))


def _known(name: str, names: tuple[str, ...]) -> str:
    """The name of a lesson, with its words joined by any separator. Raises UsageError."""
    plain = name.replace("-", "_")
    if plain in names:
        return plain
    close = get_close_matches(plain, names, n=1)
    raise UsageError(f"no lesson {name!r}" + (f"; did you mean {close[0]!r}?" if close else "; --list names them"))
