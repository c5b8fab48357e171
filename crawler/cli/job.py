"""`job`: the jobs of a running service and their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crawler.cli.options import with_options
from crawler.cli.service_options import AS_JSON, SERVICE

if TYPE_CHECKING:
    from crawler.cli.service_client import ServiceClient

EXIT_CODES = {"succeeded": 0, "limited": 1, "failed": 4}
"""Of `job start --wait`; a run that was cancelled, interrupted or skipped is 3."""
NOT_DONE = 3
POLL = 0.5


@click.group()
def job() -> None:
    """Add, list, start and stop the jobs of a service that runs."""


@job.command()
@click.argument("name", metavar="NAME")
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option("--config", metavar="FILE", help="TOML file with the settings of the job.")
@click.option("--profile", metavar="NAME", help="polite, fast or demo.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A setting, as in a TOML file. Repeatable.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Repeatable.")
@click.option("--min-pages", type=int, metavar="N", help="A run with fewer pages is degraded.")
@click.option("--max-error-share", type=float, metavar="X", help="So is one with more errors, of 1.")
@click.option("--max-drop", type=float, metavar="X", help="And one with so many fewer pages than the run before, of 1.")
@click.option("--fail", is_flag=True, help="It is then failed, not degraded.")
@click.option("--retries", type=int, metavar="N", help="Try a failed run again N times.")
@click.option("--recrawl", is_flag=True, help="Each run asks again for what the run before has.")
@click.option("--webhook", metavar="URL", help="POST the run there when it ends.")
@with_options(SERVICE)
@AS_JSON
def add(
    name: str,
    urls: tuple[str, ...],
    config: str | None,
    profile: str | None,
    pairs: tuple[str, ...],
    tags: tuple[str, ...],
    min_pages: int | None,
    max_error_share: float | None,
    max_drop: float | None,
    fail: bool,
    retries: int | None,
    recrawl: bool,
    webhook: str | None,
    data: str,
    url: str | None,
    token_file: str | None,
    as_json: bool,
) -> int:
    """Add a job: what to crawl, under which settings."""
    from crawler.cli.service_client import connect

    expect = {"min_pages": min_pages, "max_error_share": max_error_share, "max_drop": max_drop, "fail": fail}
    spec: dict[str, Any] = {
        "name": name,
        "settings": _settings(urls, config, profile, pairs),
        "tags": tags,
        "expect": expect,
        "recrawl": recrawl,
    }
    if retries is not None:
        spec["retry"] = {"attempts": retries}
    if webhook is not None:
        spec["on_end"] = {"url": webhook}
    added = connect(data, url, token_file).ask("POST", "/jobs", spec)
    _tell(added, as_json, f"added {added['name']} ({added['id']})")
    return 0


@job.command(name="list")
@with_options(SERVICE)
@AS_JSON
def list_jobs(data: str, url: str | None, token_file: str | None, as_json: bool) -> int:
    """List jobs, each with its last run."""
    from crawler.cli.present import as_object
    from crawler.cli.service_client import connect
    from crawler.system.text import escape_unprintable

    client = connect(data, url, token_file)
    jobs = list(client.every("/jobs"))
    if as_json:
        click.echo("".join(f"{as_object(one)}\n" for one in jobs), nl=False)
        return 0
    for one in jobs:
        runs = client.ask("GET", "/runs", job=one["id"], limit=1)["items"]
        last = f"{runs[0]['state']}{f' ({why})' if (why := runs[0]['reason']) else ''}" if runs else "never run"
        tags = f"  [{', '.join(one['tags'])}]" if one["tags"] else ""
        click.echo(escape_unprintable(f"{one['name']:<24} {one['id']}  {last}{tags}"))
    if not jobs:
        click.echo("no jobs")
    return 0


@job.command()
@click.argument("name", metavar="JOB")
@click.option("--mode", metavar="NAME", help="async, threads, processes or prefork.")
@click.option("--wait", is_flag=True, help="Wait for its end: exit 0 succeeded, 1 limited, 4 failed, 3 otherwise.")
@with_options(SERVICE)
@AS_JSON
def start(
    name: str, mode: str | None, wait: bool, data: str, url: str | None, token_file: str | None, as_json: bool
) -> int:
    """Start a run of a job."""
    from time import sleep

    from crawler.cli.service_client import connect, quoted
    from crawler.service.core.states import FINAL

    client = connect(data, url, token_file)
    run = client.ask("POST", f"/jobs/{quoted(name)}/runs", {"mode": mode})
    while wait and run["state"] not in FINAL:
        sleep(POLL)
        run = client.ask("GET", f"/runs/{run['id']}")
    _tell(run, as_json, f"{run['id']} {run['state']}")
    return EXIT_CODES.get(run["state"], NOT_DONE) if wait else 0


@job.command()
@click.argument("name", metavar="JOB|RUN")
@with_options(SERVICE)
@AS_JSON
def stop(name: str, data: str, url: str | None, token_file: str | None, as_json: bool) -> int:
    """Stop a run, or every run of a job: what is in flight ends first."""
    from crawler.cli.service_client import connect

    return _end(connect(data, url, token_file), name, "stop", as_json)


@job.command()
@click.argument("name", metavar="JOB|RUN")
@click.option("--force", is_flag=True, help="Kill it, without waiting for fetches in flight.")
@with_options(SERVICE)
@AS_JSON
def cancel(name: str, force: bool, data: str, url: str | None, token_file: str | None, as_json: bool) -> int:
    """Cancel a run, or every run of a job, also those that wait."""
    from crawler.cli.service_client import connect

    return _end(connect(data, url, token_file), name, "cancel", as_json, {"force": force})


@job.command()
@click.argument("name", metavar="JOB|RUN")
@click.option("--tail", type=int, metavar="N", help="The last N lines only.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@with_options(SERVICE)
def log(name: str, tail: int | None, follow: bool, data: str, url: str | None, token_file: str | None) -> int:
    """Print the log of a run, or of the last run of a job."""
    import sys

    from crawler.cli.service_client import connect
    from crawler.errors import UsageError

    client = connect(data, url, token_file)
    if not name.startswith("run_"):
        runs = client.ask("GET", "/runs", job=name, limit=1)["items"]
        if not runs:
            raise UsageError(f"no run of {name!r} is known; start one with: job start {name}")
        name = runs[0]["id"]
    for piece in client.stream(f"/runs/{name}/log", tail=tail, follow="true" if follow else None):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    return 0


def _settings(urls: tuple[str, ...], config: str | None, profile: str | None, pairs: tuple[str, ...]) -> dict[str, Any]:
    """The settings of a job. Raises UsageError."""
    from pathlib import Path

    from crawler.settings import read_file

    settings: dict[str, Any] = read_file(Path(config)) if config else {}
    if profile is not None:
        settings["profile"] = profile
    if urls:
        settings["seeds"] = list(urls)
    return settings | dict(map(_pair, pairs))


def _pair(text: str) -> tuple[str, Any]:
    """A key and its value, as TOML; what is no TOML is text. Raises UsageError."""
    import tomllib

    from crawler.errors import UsageError
    from crawler.settings import refuse_unknown

    key, sign, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not sign:
        raise UsageError(f"bad value for --set = {text!r}: expected KEY=VALUE")
    refuse_unknown({key: value}, "--set")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def _end(client: ServiceClient, name: str, verb: str, as_json: bool, body: object = None) -> int:
    """Stop or cancel a run, or every run of a job that has not ended. Raises UsageError."""
    from crawler.cli.service_client import quoted
    from crawler.errors import UsageError
    from crawler.service.core.states import FINAL

    runs = [name]
    if not name.startswith("run_"):
        runs = [run["id"] for run in client.every("/runs", job=name) if run["state"] not in FINAL]
    if not runs:
        raise UsageError(f"no run of {name!r} is active")
    for one in runs:
        run = client.ask("POST", f"/runs/{quoted(one)}/{verb}", body)
        _tell(run, as_json, f"{run['id']} {run['state']}")
    return 0


def _tell(answer: object, as_json: bool, words: str) -> None:
    from crawler.cli.present import as_object
    from crawler.system.text import escape_unprintable

    click.echo(as_object(answer) if as_json else escape_unprintable(words))
