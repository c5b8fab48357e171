"""TOML + environment + flags -> one frozen Settings.

Rules:
- Later layers win: built-in defaults, what an earlier run of the directory used, the profile, the configuration file,
  the environment (CRAWLER_<KEY>), the command line.
- An unknown key is refused with the nearest known name. A value out of range is refused with its key, even where a
  later layer overrides it, so every written value is validated.
- `lease` follows `timeout`: a layer that sets only `timeout` resets the `lease` of earlier layers.
- The URLs of `sitemap` are seeds, too: so they are in scope, and a resume treats them as it treats seeds.
- Secrets are resolved once, at the end, and appear in no error.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from crawler.errors import UsageError
from crawler.fetch.proxies import parse_proxy
from crawler.fetch.secrets import headers_by_origin, resolve_proxy_logins, resolve_references
from crawler.settings.checks import check_finite, check_seed, check_values
from crawler.settings.keys import KEYS, RETIRED, SECRET, Settings
from crawler.settings.places import check_places
from crawler.system.failpoints import VARIABLE as FAILPOINTS
from crawler.system.failpoints import parse as parse_failpoints

ENVIRONMENT = "CRAWLER_"
DEBUG = "CRAWLER_DEBUG"  # shows tracebacks, see crawler/__main__.py
NO_KEYS = (DEBUG, FAILPOINTS)
PROFILES = ("polite", "fast", "demo")
LEASE_SLACK = 15.0
TABLES = ("resolve", "proxies")
LISTS = ("seeds", "sitemap", "include", "exclude", "allow_networks", "fail_on", "follow_rel")
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}


def profile(name: str) -> dict[str, Any]:
    """The keys that a profile sets. Raises UsageError where there is no such profile."""
    if name not in PROFILES:
        raise UsageError(f"unknown profile {name!r}{_nearest(name, PROFILES)} (there are: {', '.join(PROFILES)})")
    return read_file(profiles_folder() / f"{name}.toml")


def profiles_folder() -> Path:
    """The folder of the profiles: inside an installed package, or `config/` of a checkout."""
    package = Path(__file__).parents[1]
    packaged = package / "profiles"
    return packaged if packaged.is_dir() else package.parent / "config"


def read_file(path: Path) -> dict[str, Any]:
    """The keys that a TOML file sets. Raises UsageError where it is unreadable, invalid or has an unknown key."""
    try:
        layer = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read configuration {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    refuse_unknown(layer, str(path))
    return layer


def read_environment(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The keys that CRAWLER_<KEY> variables set; list items are separated by spaces. Raises UsageError."""
    layer: dict[str, Any] = {}
    parse_failpoints(environment.get(FAILPOINTS, ""))
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT) or name in NO_KEYS:
            continue
        key = name.removeprefix(ENVIRONMENT).lower()
        refuse_unknown({key: text}, f"environment variable {name}")
        if key in SECRET:
            raise UsageError(
                f"{name} is not supported; set {key} in a --config file, where a value may be env:NAME or file:PATH"
            )
        if key in TABLES:
            layer[key] = dict(pair.partition("=")[::2] for pair in text.split())
        else:
            layer[key] = tuple(text.split()) if key in LISTS else text
    return layer


def refuse_unknown(layer: Mapping[str, Any], where: str) -> None:
    """Raises UsageError for the first unknown key."""
    for key in layer:
        if key not in KEYS and key not in RETIRED:
            raise UsageError(f"unknown key {key!r} in {where}{_nearest(key, KEYS)}")


def merge_layers(*layers: Mapping[str, Any]) -> Settings:
    """Merge layers into one Settings; the last one wins. Raises UsageError."""
    merged: dict[str, Any] = {}
    for written in layers:
        layer = {key: value for key, value in written.items() if key not in RETIRED}
        _convert(layer)
        if "timeout" in layer:
            merged.pop("lease", None)
        merged.update(layer)
    settings = _convert(merged)
    if "lease" not in merged:
        settings = msgspec.structs.replace(settings, lease=settings.timeout + LEASE_SLACK)
    if settings.lease <= settings.timeout:
        raise UsageError(f"lease ({settings.lease:g} s) must be longer than timeout ({settings.timeout:g} s)")
    headers, credentials = resolve_references(settings.headers, settings.credentials)
    headers_by_origin(headers, credentials)
    logins = resolve_proxy_logins(settings.proxy_credentials)
    proxies = {settings.proxy, *settings.proxies.values()}
    if unused := logins.keys() - {proxy.url for url in proxies if url and (proxy := parse_proxy(url, {}))}:
        raise UsageError(f"proxy_credentials are for {min(unused)}, which is not a proxy of this configuration")
    seeds = tuple(dict.fromkeys((*settings.seeds, *settings.sitemap)))
    return msgspec.structs.replace(
        settings, seeds=seeds, headers=headers, credentials=credentials, proxy_credentials=logins
    )


def _convert(layer: Mapping[str, Any]) -> Settings:
    """Settings from one layer, with canonical seeds and sitemaps. Raises UsageError."""
    try:
        settings = msgspec.convert(dict(layer), Settings, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(_in_words(error, layer)) from error
    check_finite(settings)
    check_values(settings)
    check_places(settings)
    seeds, sitemap = (tuple(check_seed(url) for url in urls) for urls in (settings.seeds, settings.sitemap))
    return msgspec.structs.replace(settings, seeds=seeds, sitemap=sitemap)


def _in_words(error: msgspec.ValidationError, layer: Mapping[str, Any]) -> str:
    text, _, path = str(error).partition(" - at `$.")
    key = path.rstrip("`").partition("[")[0]
    value = f" = {layer[key]!r}" if key in layer and key not in SECRET else ""
    if "enum" in text:
        text = f"expected one of {', '.join(_choices(get_type_hints(Settings)[key]))}"
    text = re.sub("`([^`]+)`", _kinds_in_words, text)
    return f"bad value for {key or 'the configuration'}{value}: {text[:1].lower()}{text[1:]}"


def _choices(kind: Any) -> list[str]:
    """The allowed values of a key, or of each item of a list."""
    found = [choice for choice in get_args(kind) if choice is not ...]
    return [text for choice in found for text in ([choice] if isinstance(choice, str) else _choices(choice))]


def _kinds_in_words(kinds: re.Match[str]) -> str:
    """msgspec's `int | null` in plain words. `null` is left out: TOML has no null, so it cannot be written."""
    return " or ".join(KINDS.get(kind, kind) for kind in kinds[1].split(" | ") if kind != "null")


def _nearest(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
