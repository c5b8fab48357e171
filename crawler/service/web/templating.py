"""Templates of the dashboard and the formats of their numbers.

Rules:
- Everything is escaped by the environment; a name that a template uses and no view gives is an error, not a blank.
- Text that comes from the web (URLs, hosts, details, logs) passes `remote`, as in a report: unprintable characters
  become visible, long text is cut.
- Numbers have fixed units and a fixed number of digits, so that nothing moves while they change.
- jinja2 is imported by the first page, not by the command line.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from crawler.report import html
from crawler.report.numbers import counted, lasting, number
from crawler.service.web.run_states import actions, ended, mode, paused, shown, why
from crawler.service.web.static_files import static_url
from crawler.system.text import duration, escape_unprintable, format_bytes, roughly

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
LOG_LINE = 2000


def render(template: str, **context: Any) -> str:
    """The text of a template. Raises jinja2.TemplateError where it uses a name that it was not given."""
    return environment().get_template(template).render(now=time(), **context)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates with their filters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        moment=html.moment,
        iso=iso,
        ago=ago,
        bytes=format_bytes,
        lasts=duration,
        lasting=lasting,
        about=roughly,
        bar=bar,
        paused=paused,
        number=number,
        counted=counted,
        remote=remote,
        log_line=log_line,
        shown=shown,
        why=why,
        ended=ended,
        mode=mode,
        actions=actions,
    )
    made.globals["static"] = static_url
    return made


def remote(text: str, most: int = html.LONGEST) -> Markup:
    """Text from the web as safe HTML."""
    return safe(html.remote(text, most))


def bar(share: float) -> Markup:
    """A share (0 to 1) as a bar."""
    return safe(html.bar(share, "fine"))


def log_line(text: str) -> str:
    """A line of a log without characters that do something."""
    return escape_unprintable(text[:LOG_LINE])


def safe(text: str) -> Markup:
    """HTML that is escaped already."""
    from markupsafe import Markup

    return Markup(text)


def iso(at: float) -> str:
    """A Unix time for the attribute `datetime`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(at: float, now: float) -> str:
    """How long ago a time is, or how far ahead."""
    apart = now - at
    if abs(apart) < 1.5:
        return "now"
    days = abs(apart) / 86_400
    told = f"{days:.0f} days" if days >= 2 else roughly(abs(apart))
    return f"{told} ago" if apart > 0 else f"in {told}"
