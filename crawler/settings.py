"""TOML + environment + flags -> one frozen Settings.

Rules:
- Later layers win: built-in defaults, what an earlier run of the directory used, the profile, the configuration file,
  the environment (CRAWLER_<KEY>), the command line.
- An unknown key is refused with the nearest known name. A value out of range is refused with its key, even where a
  later layer overrides it, so every written value is validated.
- `lease` follows `timeout`: a layer that sets only `timeout` resets the `lease` of earlier layers.
- Secrets are resolved once, at the end, and appear in no error.
- `Settings` extends the core's `Rules`, so a key is declared in exactly one place.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from crawler.core.conditions import parse as parse_condition
from crawler.core.rules import AtLeastOne, Count, Rules, Seconds
from crawler.core.urls.canonical import canonical
from crawler.core.urls.scope import Scope
from crawler.errors import UsageError
from crawler.fetch.base import ClientPlan, Limits
from crawler.fetch.secrets import Login, headers_by_origin, resolve_references
from crawler.system.failpoints import VARIABLE as FAILPOINTS
from crawler.system.failpoints import parse as parse_failpoints
from crawler.system.memory import parse_size

ENVIRONMENT = "CRAWLER_"
DEBUG = "CRAWLER_DEBUG"  # shows tracebacks, see crawler/__main__.py
NO_KEYS = (DEBUG, FAILPOINTS)
PROFILES = ("polite", "fast", "demo")
RETIRED = {"robots_asks": "host_patience", "breaker_rests": "host_patience"}
"""Keys of earlier versions -> the key that replaces each. They are accepted, ignored and reported."""
LEASE_SLACK = 15.0
FASTEST_HEARTBEAT = 0.001  # seconds; event loop timers are no finer
Sockets = Annotated[int, Meta(ge=1, le=10_000)]  # each is a file descriptor, and a host may get them all
Workers = Annotated[int, Meta(ge=1, le=1024)]
Timeout = Annotated[float, Meta(gt=0, le=86_400)]
Rate = Annotated[float, Meta(ge=0, le=1e9)]
ACCEPT = "text/html,application/xhtml+xml,*/*;q=0.5"


class Settings(Rules, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration of a run. The fields beyond Rules concern engines, clients and stores only."""

    # engine
    mode: str = "async"
    client: str | None = None
    concurrency: Sockets | None = None
    processes: Workers | None = None
    threads_per_process: Sockets | None = None
    heartbeat: Seconds = 0.0
    spin: Seconds = 0.0
    max_memory: str | None = None

    # what and where
    seeds: tuple[str, ...] = ()
    out: str | None = None
    store: Literal["sqlite", "files"] = "sqlite"
    disk_wait: Seconds = 0.0
    disk_reserve: Count | None = None
    report: bool = True
    fail_on: tuple[str, ...] = ()

    # fetch
    connect_timeout: Timeout = 10.0
    first_byte_timeout: Timeout = 20.0
    idle_timeout: Timeout = 15.0
    timeout: Timeout = 60.0
    min_rate: Rate = 100.0
    max_body: AtLeastOne = 10 * 1024 * 1024
    attempt_header: str = ""
    ca_file: str = ""
    resolve: dict[str, str] = msgspec.field(default_factory=dict)
    allow_networks: tuple[str, ...] = ()
    trust_seeds: bool = True
    headers: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    credentials: dict[str, Login] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        told = (f"{key}={getattr(self, key)!r}" for key in KEYS if key not in SECRET)
        return f"Settings({', '.join(told)})"

    @property
    def secret_origins(self) -> tuple[str, ...]:
        """The origins that headers or credentials are configured for, sorted."""
        return tuple(sorted({*self.headers, *self.credentials}))

    @property
    def memory(self) -> int | None:
        """Bytes that the process tree of a run may use; None: crawler/runtime/memory_plan.py decides."""
        return None if self.max_memory is None else parse_size(self.max_memory)

    def client_plan(self, connections: int) -> ClientPlan:
        """The parameters of an HTTP client with this many connections."""
        from crawler.fetch.http1.decode import ACCEPT_ENCODING
        from crawler.fetch.net.guard import naming

        return ClientPlan(
            limits=Limits(
                connect=min(self.connect_timeout, self.timeout),
                first_byte=min(self.first_byte_timeout, self.timeout),
                idle=min(self.idle_timeout, self.timeout),
                total=self.timeout,
                min_rate=self.min_rate,
                max_body=max(self.max_body, self.robots_size + 1),
            ),
            headers=(("User-Agent", self.user_agent), ("Accept", ACCEPT), ("Accept-Encoding", ACCEPT_ENCODING)),
            resolve=self.resolve,
            connections=connections,
            ca_file=self.ca_file,
            seeds=naming(self.seeds, self.resolve) if self.trust_seeds else (),
            networks=self.allow_networks,
        )


KEYS = Settings.__struct_fields__
SECRET = ("headers", "credentials")
WHERE = re.compile(
    r"([\w.-]+|\[[\da-f:.]+\])(:(?P<port>[0-9]{1,5}))?|[\da-f]*:[\da-f]*:[\da-f:.]*", re.ASCII | re.IGNORECASE
)
LISTS = ("seeds", "include", "exclude", "allow_networks", "fail_on", "follow_rel")
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
    packaged = Path(__file__).parent / "profiles"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "config"


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
            raise UsageError(f"{name}: {key} stand in a --config file; a value there may be env:NAME or file:PATH")
        if key == "resolve":
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
    return msgspec.structs.replace(settings, headers=headers, credentials=credentials)


def check_seed(url: str) -> str:
    """The canonical form of a seed URL. Raises UsageError where it cannot be crawled."""
    if url == "-":
        raise UsageError("URLs are not read from standard input; name them, or list them as `seeds` in a --config file")
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise UsageError(
            "a URL with a user name or password in it cannot be crawled; remove that part (a login belongs into"
            " [credentials] of a --config file)"
        )
    found = canonical(url)
    if found is None:
        scheme = url.partition(":")[0] if ":" in url else ""
        if scheme and scheme.lower() not in ("http", "https") and scheme.isalnum() and "." not in scheme:
            raise UsageError(f"cannot crawl {url!r}: only http and https URLs, not {scheme}")
        hint = "" if "://" in url or not url else f"; did you mean http://{url} ?"
        raise UsageError(f"not a URL: {url!r}{hint}")
    return found


def _convert(layer: Mapping[str, Any]) -> Settings:
    """Settings from one layer, with canonical seeds. Raises UsageError."""
    try:
        settings = msgspec.convert(dict(layer), Settings, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(_in_words(error, layer)) from error
    _check_finite(settings)
    _check(settings)
    return msgspec.structs.replace(settings, seeds=tuple(check_seed(url) for url in settings.seeds))


def _check_finite(settings: Settings) -> None:
    for key in KEYS:
        value = getattr(settings, key)
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"bad value for {key} = {value}: expected a finite number")


def _check(settings: Settings) -> None:
    if 0 < settings.heartbeat < FASTEST_HEARTBEAT:
        raise UsageError(
            f"bad value for heartbeat = {settings.heartbeat:g}: expected 0 or at least {FASTEST_HEARTBEAT:g}"
        )
    if settings.out is not None and (not settings.out or "\0" in settings.out):
        raise UsageError(f"bad value for out = {settings.out!r}: expected a path")
    if settings.max_memory is not None:
        try:
            parse_size(settings.max_memory)
        except ValueError as error:
            raise UsageError(f"bad value for max_memory = {settings.max_memory!r}: {error}") from None
    for condition in settings.fail_on:
        try:
            parse_condition(condition)
        except ValueError as error:
            raise UsageError(f"bad value for fail_on: {error}") from None
    for name in ("user_agent", "attempt_header"):
        if any(not (32 <= ord(letter) < 127) for letter in getattr(settings, name)):
            raise UsageError(f"{name} must be printable ASCII")
    for network in settings.allow_networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise UsageError(f"bad value for allow_networks: {error}; expected networks such as 10.0.0.0/8") from None
    for host, target in settings.resolve.items():
        for said in (host, target):
            match = WHERE.fullmatch(said)
            if match is None or int(match["port"] or 1) not in range(1, 65_536):
                raise UsageError(
                    f"bad value for resolve: {host!r} = {target!r}: expected a name or address, with or without a :port"
                )


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


def open_scope(settings: Settings) -> Scope:
    """The scope of these settings. Raises UsageError for an invalid regular expression."""
    try:
        return Scope(settings, settings.seeds)
    except ValueError as error:
        raise UsageError(str(error)) from error


def check_authority(settings: Settings) -> None:
    """Raises UsageError where `ca_file` cannot be used. Called before a crawl, so that no engine fails during it."""
    if settings.ca_file:
        from crawler.fetch.http1.wire import tls_context

        tls_context(settings.ca_file)
