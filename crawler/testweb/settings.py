"""What a crawler must be told to crawl a web that a server holds: seeds, the attempt header, where the names are."""

from __future__ import annotations

import json

import msgspec

from crawler.testweb.document import AnyWeb

ATTEMPT_HEADER = "X-Attempt"


class WebSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The keys of the crawler's configuration that lead to a web.

    `resolve` maps a host name to "address:port"; `ca_file` is the authority to trust, "" for a web without TLS.
    """

    seeds: tuple[str, ...]
    attempt_header: str
    resolve: dict[str, str]
    ca_file: str = ""


class Listening(msgspec.Struct, frozen=True):
    """What a server process says of itself, in one line of JSON, once it listens."""

    pid: int
    port: int
    settings: WebSettings


def address_of(index: int) -> str:
    """The loopback address of the host at that place in `names`, one for each, as on a real network."""
    return f"127.16.{index // 250}.{1 + index % 250}"


def settings_for(web: AnyWeb, port: int, ca_file: str = "") -> WebSettings:
    """How to reach a web that is served on `port`, with a certificate of the authority in `ca_file`."""
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
