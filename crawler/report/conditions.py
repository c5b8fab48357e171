"""The report's sections on the conditions of a crawl and the place of its files. Pure except for the versions."""

from __future__ import annotations

import json
import platform
import shlex
import sqlite3
from importlib.metadata import PackageNotFoundError, version

from crawler.core.reasons import Ending
from crawler.report.facts import Facts
from crawler.report.html import card, listed, moment, remote, table
from crawler.system.text import duration, format_bytes

PACKAGES = ("crawler", "aiohttp", "uvloop", "pycurl", "urllib3", "turbohtml", "msgspec")
APART = ("mode", "client", "lease")


def conditions(facts: Facts, client: str) -> str:
    """Mode, client, settings, runs and versions."""
    settings = facts.manifest.settings
    rows = [
        ("mode, client", f"{remote(str(settings.get('mode', 'async')))}, {remote(client)} (the last run's)"),
        ("runs", f"{facts.manifest.runs:,}"),
        *((name, text) for name, text in _versions()),
    ]
    set_here = [(key, _value(value)) for key, value in settings.items() if key not in APART]
    changed = listed(set_here) if set_here else "<p class=note>All are the defaults.</p>"
    return (
        card(listed(rows))
        + card(changed, "Settings of the last run that differ from the defaults")
        + _runs(facts)
        + "<p class=note>Kept are the settings of the last run only. Versions and machine are those of the program that"
        " wrote this page: a crawl does not keep what it ran with.</p>"
    )


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # a checkout that is not installed, or the extra of an unused mode
            continue
    python = f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return [
        ("versions", remote(", ".join([python, *found]))),
        ("machine", remote(f"{platform.system()} {platform.release()}, {platform.machine()}")),
    ]


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return remote(text, 300)


def _runs(facts: Facts) -> str:
    if len(facts.pace.spans) < 2:
        return ""
    rows = [[f"{span.run}", moment(span.start), duration(span.seconds), f"{span.pages:,}"] for span in facts.pace.spans]
    head = ("run", "first fetch", "lasted", "pages")
    return card(table(head, rows, "Runs"), "Runs that stored pages")


def whereabouts(facts: Facts) -> str:
    """Files, digest, and the commands to use them."""
    name = shlex.quote(facts.out)
    rows = [
        [f"<code>{remote(path)}</code>", format_bytes(held) if held is not None else "not counted"]
        for path, held in facts.files
    ]
    again = "ask again" if facts.over else "go on"
    complete = facts.come_to is not None and facts.come_to.ending is Ending.COMPLETE
    commands = [
        ("check", f"python -m crawler verify {name}") if complete else (again, f"python -m crawler resume {name}"),
        ("use", f"python -m crawler export {name} --format csv -o urls.csv"),
    ]
    told = [
        ("directory", f"<code>{remote(facts.out, 400)}</code>"),
        ("digest", f"<code>{remote(facts.tally.digest)}</code>"),
        *((what, f"<code>{remote(command, 600)}</code>") for what, command in commands),
    ]
    return card(table(("file", "on disk"), rows, "Files")) + card(listed(told))
