"""The report's sections on the conditions and costs of a crawl and the place of its files. Pure except for the
versions."""

from __future__ import annotations

import json
import platform
import shlex
import sqlite3
from importlib.metadata import PackageNotFoundError, version

from crawler.core.reasons import Ending
from crawler.report.facts import Facts, Span
from crawler.report.html import NOTHING, card, listed, moment, remote, table
from crawler.storage.manifest import RunCost
from crawler.system.invocation import DISTRIBUTION
from crawler.system.text import duration, format_bytes

PACKAGES = (DISTRIBUTION, "aiohttp", "uvloop", "pycurl", "urllib3", "turbohtml", "msgspec")
APART = ("mode", "client", "lease")


def conditions(facts: Facts, client: str) -> str:
    """Mode, client, settings, runs and versions."""
    settings = facts.manifest.settings
    rows = [
        ("mode, client", f"{remote(str(settings.get('mode', 'async')))}, {remote(client)} (the last run's)"),
        ("runs", f"{facts.manifest.runs:,}"),
        *((name, remote(text)) for name, text in versions()),
    ]
    set_here = [(key, _value(value)) for key, value in settings.items() if key not in APART]
    changed = listed(set_here) if set_here else "<p class=note>All are the defaults.</p>"
    return (
        card(listed(rows))
        + card(changed, "Settings of the last run that differ from the defaults")
        + _runs(facts)
        + "<p class=note>The settings of earlier runs are not kept. Versions and machine are those of the program that"
        " wrote this page, which may be another than the one that crawled.</p>"
    )


def versions() -> list[tuple[str, str]]:
    """The versions of this program and its parts, and the machine: names and plain text."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # a checkout that is not installed, or the extra of an unused mode
            continue
    python = f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return [
        ("versions", ", ".join([python, *found])),
        ("machine", f"{platform.system()} {platform.release()}, {platform.machine()}"),
    ]


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return remote(text, 300)


def _runs(facts: Facts) -> str:
    """The runs that stored pages, and those whose cost is kept."""
    spans = {span.run: span for span in facts.pace.spans if span.pages}
    costs = {cost.run: cost for cost in facts.manifest.costs}
    rows = [_run(run, spans.get(run), costs.get(run)) for run in sorted(spans.keys() | costs.keys())]
    head = ("Run", ":First fetch", "Lasted", "Pages", ":Mode, client", "CPU time", "Memory at the peak")
    note = "<p class=note>A run that was killed leaves no cost; of earlier versions none is known.</p>"
    return card(table(head, rows, "Runs"), "Runs") + (note if len(costs) < facts.manifest.runs else "")


def _run(number: int, span: Span | None, cost: RunCost | None) -> list[str]:
    paced = [moment(span.start), duration(span.seconds), f"{span.pages:,}"] if span else [NOTHING, NOTHING, "0"]
    if cost is None:
        return [str(number), *paced, NOTHING, NOTHING, NOTHING]
    engine = remote(f"{cost.mode}, {cost.client}")
    return [str(number), *paced, engine, duration(cost.cpu_seconds), format_bytes(cost.peak_memory)]


def whereabouts(facts: Facts) -> str:
    """Files, digest, and the commands to use them."""
    name, called = shlex.quote(facts.out), facts.command
    rows = [
        [f"<code>{remote(path)}</code>", format_bytes(held) if held is not None else "not counted"]
        for path, held in facts.files
    ]
    again = "ask again" if facts.over else "go on"
    complete = facts.come_to is not None and facts.come_to.ending is Ending.COMPLETE
    commands = [
        ("check", f"{called} verify {name}") if complete else (again, f"{called} resume {name}"),
        ("use", f"{called} export {name} --format csv -o urls.csv"),
    ]
    told = [
        ("directory", f"<code>{remote(facts.out, 400)}</code>"),
        ("digest", f"<code>{remote(facts.tally.digest)}</code>"),
        *((what, f"<code>{remote(command, 600)}</code>") for what, command in commands),
    ]
    return card(table(("File", "Size on disk"), rows, "Files")) + card(listed(told))
