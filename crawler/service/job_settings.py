"""The settings of a job: what may stand in them, and what the process of a run gets.

Rules:
- They are the keys of the configuration, and `profile`. What the command line would refuse is refused when the job is
  made, with the key and what was probably meant.
- A job is data, not a program: no function or program of the service's machine is called (`filter`, `on_page`,
  `on_error`, `on_progress`, `on_end`), and no path is read or written but the crawl directory of the run (`out`,
  `ca_file`, `netrc`).
- A secret is a reference: `env:NAME`, or `file:NAME` below `secrets_dir`, whatever links lie on the way. So no answer
  of the API, no row and no file of a run can show one. Headers may have values as they are, unless their name says that
  they are secret.
- A run gets the settings of its job, with its own on top. It waits long for a full disk: the service pauses it then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from crawler.errors import UsageError
from crawler.service.core.run_admission import RunReach, reach_of
from crawler.service.errors import Invalid
from crawler.settings import KEYS, PROFILES, Settings, merge_layers, profile
from crawler.settings.places import SECRETS
from crawler.storage.directory import IMMUTABLE_KEYS

PROFILE = "profile"
FUNCTIONS = ("filter", "on_page", "on_error", "on_progress")
KNOWN = (*KEYS, PROFILE)
REFUSED = {
    "out": "the service chooses the directory of a run",
    "ca_file": "a job cannot name files; install the certificate for the whole machine",
    "on_end": "a job cannot start programs; name a URL in on_end of the job, beside its settings",
    **dict.fromkeys(FUNCTIONS, "a job cannot call functions; use the command line or the Python API for that"),
}
SECRET_NAME = re.compile(r"auth|cookie|token|secret|password|api-?key|session|credential", re.IGNORECASE)
NAMED_IN = re.compile(r"(?<!\[)\b(\w+)")
DISK_WAIT = 7 * 86_400.0
DEMO = "demo"


def check_settings(settings: Mapping[str, Any], secrets_dir: Path | None) -> Settings:
    """The settings that these keys make. Raises Invalid for the first key that cannot be used."""
    for key in settings:
        if key not in KNOWN:
            close = get_close_matches(key, KNOWN, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise Invalid(f"settings.{key}", f"unknown key {key!r}{hint}", close[0] if close else None)
    _refuse_programs(settings)
    with_paths = resolved(settings, secrets_dir)
    try:
        found = merge_layers(*_layers(with_paths))
        _check_engine(found)
    except UsageError as error:
        raise Invalid(f"settings.{_key_in(str(error), settings)}", str(error)) from error
    if not found.seeds and settings.get(PROFILE) != DEMO:
        raise Invalid("settings.seeds", "nothing to crawl: name at least one URL in seeds")
    return found


def _refuse_programs(settings: Mapping[str, Any]) -> None:
    """Raises Invalid for a key that no job may set."""
    for key in settings:
        if key in REFUSED and settings[key]:
            raise Invalid(f"settings.{key}", f"{key} cannot be set here: {REFUSED[key]}")


def crawls_the_same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a crawl that began with some settings can go on with others: both have the same seeds and scope, and both
    store pages in the same way."""
    older, newer = _kept(before), _kept(after)
    if older == newer:
        return True
    try:
        began, goes_on = merge_layers(older), merge_layers(newer)
    except UsageError:
        return False
    same = all(getattr(began, key) == getattr(goes_on, key) for key in IMMUTABLE_KEYS if key != "seeds")
    return same and set(began.seeds) == set(goes_on.seeds)


def _kept(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that a crawl directory keeps for good."""
    merged = _merged(settings)
    return {key: merged[key] for key in (*IMMUTABLE_KEYS, "sitemap") if key in merged}


def _layers(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    chosen = settings.get(PROFILE)
    if chosen is not None:
        if not isinstance(chosen, str):
            raise UsageError(f"bad value for profile = {chosen!r}: expected one of {', '.join(PROFILES)}")
        yield profile(chosen)
    yield {key: value for key, value in settings.items() if key != PROFILE}


def _merged(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of the profile, with those of the settings on top."""
    return {key: value for layer in _layers(settings) for key, value in layer.items()}


def _check_engine(settings: Settings) -> None:
    """Raises UsageError where no engine can run with these."""
    import variants
    from crawler.settings import open_scope

    variants.client_of(settings)
    variants.check_loop(settings.mode, settings.loop)
    variants.fit(settings)
    open_scope(settings)


def _key_in(text: str, settings: Mapping[str, Any]) -> str:
    """The key that an error is about: the first one that it names."""
    words = NAMED_IN.findall(text)
    return next((word for word in words if word in settings), next((word for word in words if word in KNOWN), "seeds"))


def resolved(settings: Mapping[str, Any], secrets_dir: Path | None) -> dict[str, Any]:
    """These settings with the whole path in each `file:` reference. Raises Invalid for a secret that is no reference,
    or leads out of `secrets_dir`."""
    found = dict(settings)
    for key in ("headers", "credentials", "proxy_credentials"):
        if key in settings:
            found[key] = {
                origin: {
                    name: _reference(f"settings.{key}.{origin}.{name}", key, name, value, secrets_dir)
                    for name, value in _table(f"settings.{key}.{origin}", pairs).items()
                }
                for origin, pairs in _table(f"settings.{key}", settings[key]).items()
            }
    for key in SECRETS:
        if settings.get(key):
            found[key] = _reference(f"settings.{key}", key, key, settings[key], secrets_dir)
    return found


def _table(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Invalid(key, "expected a table of names and values")
    return value


def _reference(where: str, key: str, name: str, value: Any, secrets_dir: Path | None) -> str:
    if not isinstance(value, str):
        raise Invalid(where, "expected text")
    if name == "netrc" and key != "headers":
        raise Invalid(where, "a job cannot name a netrc file; give user and password as env:NAME or file:NAME")
    kind, _, path = value.partition(":")
    if kind == "file":
        return f"file:{_inside(where, path, secrets_dir)}"
    plain = name == "user" if key != "headers" else not SECRET_NAME.search(name)
    if kind != "env" and value and not plain:
        raise Invalid(where, "a secret is given by reference: env:NAME, or file:NAME in the secrets_dir of the service")
    return value


def _inside(where: str, path: str, secrets_dir: Path | None) -> Path:
    if secrets_dir is None:
        raise Invalid(where, "file: needs a secrets_dir in the configuration of the service; use env:NAME")
    folder = secrets_dir.resolve()
    try:
        found = (folder / path).resolve()
    except (OSError, ValueError):
        found = folder
    if folder not in found.parents:
        raise Invalid(where, "a secret must be a file in the secrets_dir of the service")
    return found


def for_child(settings: Mapping[str, Any], secrets_dir: Path | None) -> dict[str, Any]:
    """What the process of a run is given. Raises Invalid for what no job may set, and see `resolved`."""
    _refuse_programs(settings)
    return {"disk_wait": DISK_WAIT, **resolved(settings, secrets_dir)}


def reach(settings: Mapping[str, Any], met: Iterable[str] = (), directory: str = "") -> RunReach:
    """The hosts that a run with these settings may ask, and the directory that it works in."""
    merged = _merged(settings)
    return reach_of(merged.get("seeds", ()), merged.get("scope", "site"), met, directory)


def delay_of(settings: Mapping[str, Any]) -> float:
    """Seconds that a run with these settings lets a host rest after a request, by the key `delay`. Raises
    UsageError."""
    return merge_layers({key: value for key, value in _merged(settings).items() if key == "delay"}).delay


def modes() -> tuple[str, ...]:
    """The modes that a job may choose."""
    import variants

    return tuple(variants.MODULES)
