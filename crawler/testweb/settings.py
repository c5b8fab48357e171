"""The settings that a crawler needs for a served web: seeds, the attempt header, the addresses of the host names."""

from __future__ import annotations

import json

import msgspec

from crawler.testweb.document import AnyWeb

ATTEMPT_HEADER = "X-Attempt"


class WebSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The configuration keys that let a crawler reach a web.

    `resolve` maps a host name to "address:port"; `ca_file` is the authority to trust, "" for a web without TLS.
    """

    seeds: tuple[str, ...]
    attempt_header: str
    resolve: dict[str, str]
    ca_file: str = ""


class Listening(msgspec.Struct, frozen=True):
    """The line of JSON that a server process prints once it listens."""

    pid: int
    port: int
    settings: WebSettings


def address_of(index: int) -> str:
    """The loopback address of the host at index `index` of `names`; each has its own, as on a real network."""
    return f"127.16.{index // 250}.{1 + index % 250}"


def settings_for(web: AnyWeb, port: int, ca_file: str = "") -> WebSettings:
    """The settings for a web served on `port`, with a certificate of the authority in `ca_file`."""
    resolve = {name: f"{address_of(index)}:{port}" for index, name in enumerate(web.names)}
    return WebSettings(seeds=web.seeds, attempt_header=ATTEMPT_HEADER, resolve=resolve, ca_file=ca_file)


def to_toml(settings: WebSettings) -> str:
    """The same as a configuration file. JSON strings are TOML strings."""
    seeds = "".join(f"    {json.dumps(seed)},\n" for seed in settings.seeds)
    resolve = "".join(f"{json.dumps(name)} = {json.dumps(address)}\n" for name, address in settings.resolve.items())
    signed = f"# who signed the certificates of the web\nca_file = {json.dumps(settings.ca_file)}\n\n"
    return (
        "# Written by `testweb serve --settings`: leads a crawler to the built-in web while that server runs.\n\n"
        "# where the crawl starts\n"
        f"seeds = [\n{seeds}]\n\n"
        "# the header that tells the server which attempt this is, since its answers depend on it\n"
        f"attempt_header = {json.dumps(settings.attempt_header)}\n\n"
        f"{signed if settings.ca_file else ''}"
        "# every host has a loopback address of its own; the port is no part of any URL\n"
        f"[resolve]\n{resolve}"
    )
