"""What the type of a key cannot say: checks of values, of seed URLs, and of files that settings name.

Rules:
- A value out of range is refused with its key and what is expected instead.
- What would fail every fetch of a crawl (`ca_file`, `scope`) is tried before it begins.
"""

from __future__ import annotations

import math
import re
from ipaddress import ip_network

from crawler.core.conditions import parse as parse_condition
from crawler.core.urls.canonical import canonical
from crawler.core.urls.scope import Scope
from crawler.errors import UsageError
from crawler.fetch.proxies import ProxyTable
from crawler.settings.keys import KEYS, Settings
from crawler.system.memory import parse_size

FASTEST_HEARTBEAT = 0.001  # seconds; event loop timers are no finer
WHERE = re.compile(
    r"([\w.-]+|\[[\da-f:.]+\])(:(?P<port>[0-9]{1,5}))?|[\da-f]*:[\da-f]*:[\da-f:.]*", re.ASCII | re.IGNORECASE
)


def check_finite(settings: Settings) -> None:
    """Raises UsageError for a number that is not finite."""
    for key in KEYS:
        value = getattr(settings, key)
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"bad value for {key} = {value}: expected a finite number")


def check_values(settings: Settings) -> None:
    """Raises UsageError for the first value that no run could use."""
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
    ProxyTable(settings.proxy, settings.proxies, {})
    for host, target in settings.resolve.items():
        for said in (host, target):
            match = WHERE.fullmatch(said)
            if match is None or int(match["port"] or 1) not in range(1, 65_536):
                raise UsageError(
                    f"bad value for resolve: {host!r} = {target!r}: expected a name or address, with or without a :port"
                )


def check_seed(url: str) -> str:
    """The canonical form of a seed URL. Raises UsageError where it cannot be crawled."""
    if url == "-":
        raise UsageError("not a URL: '-'; read URLs from standard input with --seeds -")
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise UsageError(
            "a URL with a user name or password in it cannot be crawled; remove that part (put a login into"
            " [credentials] of a --config file)"
        )
    found = canonical(url)
    if found is None:
        scheme = url.partition(":")[0] if ":" in url else ""
        port = url.partition(":")[2].partition("/")[0].isdecimal()  # localhost:8090 is a host, not a scheme
        if scheme and scheme.lower() not in ("http", "https") and scheme.isalnum() and not port:
            raise UsageError(f"cannot crawl {url!r}: only http and https URLs, not {scheme}")
        hint = "" if "://" in url or not url else f"; did you mean http://{url} ?"
        raise UsageError(f"not a URL: {url!r}{hint}")
    return found


def open_scope(settings: Settings) -> Scope:
    """The scope of these settings. Raises UsageError for an invalid regular expression."""
    try:
        return Scope(settings, settings.seeds)
    except ValueError as error:
        raise UsageError(str(error)) from error


def check_authority(settings: Settings) -> None:
    """Raises UsageError where `ca_file` cannot be used. Called before a crawl, so that no engine fails during it."""
    if settings.ca_file:
        from crawler.fetch.net.tls import tls_context

        tls_context(settings.ca_file)
