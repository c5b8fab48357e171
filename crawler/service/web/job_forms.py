"""The form of a job: from its fields to a job and back.

Rules:
- Seeds, profile and mode have fields of their own; every other key is written as TOML, as in a configuration file, so
  that no key is out of reach and none needs a field.
- A refusal names the field at fault, and the form is shown again with all that was typed.
- Values are checked by the records and by the service, not here.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

import msgspec

from crawler.service.errors import Invalid
from crawler.service.records import JobRecord, JobSpec
from crawler.service.web.visits import Form
from crawler.settings.explained import as_toml

OWN_FIELDS = ("seeds", "profile", "mode")
FIELDS = {
    "settings.seeds": "seeds",
    "settings.profile": "profile",
    "settings.mode": "mode",
    "expect.min_pages": "min_pages",
    "expect.max_error_share": "max_error_share",
    "expect.max_drop": "max_drop",
    "retry.attempts": "retries",
    "retry.first_wait": "first_wait",
    "on_end.url": "on_end",
}
"""The field of each key that has one; the key itself else, and `settings` for any other setting."""


def read_job(form: Form) -> JobSpec:
    """The job that a form describes. Raises Invalid."""
    described = {
        "name": form.get("name", "").strip(),
        "settings": read_settings(form),
        "tags": tuple(form.get("tags", "").replace(",", " ").split()),
        "expect": _present(
            min_pages=form.get("min_pages"),
            max_error_share=_share(form, "max_error_share"),
            max_drop=_share(form, "max_drop"),
            fail="fail" in form,
        ),
        "retry": _present(attempts=form.get("retries"), first_wait=form.get("first_wait")),
        "recrawl": "recrawl" in form,
        "on_end": _present(url=form.get("on_end")),
    }
    try:
        return msgspec.convert(described, JobSpec, strict=False)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        raise Invalid(path.rstrip("`").partition("[")[0] or "name", text) from None


def read_settings(form: Form) -> dict[str, Any]:
    """The settings of a form. Raises Invalid where they are not TOML, or a key with a field is among them."""
    text = form.get("settings", "").replace("\r\n", "\n")
    try:
        settings: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid("settings", f"this is not TOML: {error}") from None
    for key in OWN_FIELDS:
        if key in settings:
            raise Invalid("settings", f"{key} has a field of its own above; leave it out here")
    seeds = form.get("seeds", "").split()
    if seeds:
        settings["seeds"] = seeds
    for key in ("profile", "mode"):
        if form.get(key):
            settings[key] = form[key]
    return settings


def typed_from(job: JobRecord) -> dict[str, str]:
    """The fields of a job, as somebody would have typed them."""
    expect, others = job.expect, {key: value for key, value in job.settings.items() if key not in OWN_FIELDS}
    typed = {
        "name": job.name,
        "seeds": "\n".join(map(str, job.settings.get("seeds", ()))),
        "profile": str(job.settings.get("profile", "")),
        "mode": str(job.settings.get("mode", "")),
        "settings": as_text(others),
        "tags": " ".join(job.tags),
        "min_pages": _plain(expect.min_pages),
        "max_error_share": _percent(expect.max_error_share),
        "max_drop": _percent(expect.max_drop),
        "retries": _plain(job.retry.attempts),
        "first_wait": _plain(job.retry.first_wait),
        "on_end": job.on_end.url or "",
    }
    return typed | ({"fail": "on"} if expect.fail else {}) | ({"recrawl": "on"} if job.recrawl else {})


def as_text(settings: dict[str, Any]) -> str:
    """Settings as TOML, a key a line."""
    return "\n".join(f"{key} = {as_toml(value)}" for key, value in settings.items())


def field_of(key: str) -> str:
    """The field of a form that a key of a job belongs to."""
    return FIELDS.get(key, "settings" if key.startswith("settings") else key)


def _present(**values: str | bool | float | None) -> dict[str, str | bool | float]:
    return {key: value for key, value in values.items() if value not in (None, "")}


def _share(form: Form, key: str) -> float | None:
    """A field in per cent as a share. Raises Invalid."""
    text = form.get(key, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"\d{1,3}(\.\d{1,6})?", text):
        raise Invalid(f"expect.{key}", "expected a number of per cent, from 0 to 100")
    return float(text) / 100


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.6g}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.12g}"
