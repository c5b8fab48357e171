"""The command `lessons`."""

from __future__ import annotations

from difflib import get_close_matches

import click


@click.command()
@click.option("--only", "chosen", metavar="NAME", multiple=True, help="Only this lesson; may be given several times.")
@click.option("--list", "listing", is_flag=True, help="Name the lessons and what tutorials say, and run none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every sample, and nothing else.")
@click.option("--markdown", metavar="FILE", type=click.Path(dir_okay=False), help="Write a Markdown document as well.")
@click.pass_context
def lessons(
    context: click.Context, chosen: tuple[str, ...], listing: bool, as_json: bool, markdown: str | None
) -> None:
    """Measure what tutorials say about threads, processes and coroutines: claim, prediction, outcome.

    About a minute; nothing leaves this machine. Ends with exit code 1 if a lesson failed to run.
    """
    import sys
    from pathlib import Path

    from rich.console import Console
    from rich.markdown import Markdown

    from crawler.compare.lessons import present
    from crawler.compare.lessons.experiments import NAMES, load
    from crawler.compare.lessons.runner import conditions, teach

    names = [_known(name, NAMES) for name in chosen] or list(NAMES)
    if listing:
        for name in names:
            click.echo(f"{name:18} {load(name).claim}")
        return
    width = None if sys.stdout.isatty() else 120
    console, where, outcomes = Console(highlight=False, quiet=as_json, width=width), conditions(), []
    for place, name in enumerate(names, 1):
        with console.status(f"{name} ({place} of {len(names)})"):
            outcomes.append(teach(name))
        console.print(Markdown(present.lesson(outcomes[-1], place)))
    console.print(Markdown(present.overview(outcomes, where)))
    if as_json:
        click.echo(present.as_json(outcomes, where))
    if markdown:
        Path(markdown).write_text(present.markdown(outcomes, where), encoding="utf-8")
    context.exit(int(any(outcome.trouble for outcome in outcomes)))


def _known(name: str, names: tuple[str, ...]) -> str:
    """The name of a lesson, with its words joined by any separator. Raises click.UsageError."""
    plain = name.replace("-", "_")
    if plain in names:
        return plain
    close = get_close_matches(plain, names, n=1)
    raise click.UsageError(
        f"no lesson {name!r}" + (f"; did you mean {close[0]!r}?" if close else "; --list names them")
    )
