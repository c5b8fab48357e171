"""The raw client loops over https: each with kept connections, and each with one connection per page ("closing").

Rules, and why:
- Closing loops send "Connection: close", the server answers the same and ends the connection: nothing in a client is
  switched. A page then costs a TCP connection and a full TLS handshake: no loop offers a session to resume.
- All loops verify the certificate by the same TLS context and ask for bodies without a content coding.
- Nobody is believed. The interpreter counts the connections that a loop begins, whatever client it runs; our own server
  counts paths, answers, bytes, connections and handshakes. Both must agree with what the loop says, and with the crawl
  that came before. A site of the user's counts nothing for us.
- All are relative to the raw aiohttp loop with kept connections.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from crawler.bench.child_result import ChildResult
from crawler.bench.entrants import NATIVE, NATIVE_THREADS, RAW, Child, Kind, Outcome, read_result
from crawler.bench.present import BenchTable, as_json, conditions, ratios, verdict, work
from crawler.bench.race import Result
from crawler.bench.task import Task
from crawler.bench.web import BenchSite, ServerCounts
from crawler.compare.launch import Cost
from crawler.errors import UsageError
from crawler.fetch.base import one_line
from crawler.fetch.net.tls import server_name, tls_context
from crawler.system.text import counts as in_words
from crawler.system.text import escape_unprintable

LOOPS = (RAW, NATIVE, NATIVE_THREADS)
PATIENCE = 10.0


class TlsLoop:
    """A raw loop on a site of https; `closing`: with one connection per page."""

    kind: Kind = "client"

    def __init__(self, loop: Child, site: BenchSite, in_flight: int, *, closing: bool) -> None:
        self.name = f"{loop.name}, closing" if closing else loop.name
        self._loop = loop
        self._site = site
        self._in_flight = in_flight
        self._closing = closing

    def command(self, task: Task, folder: Path) -> list[str]:
        """Run the loop. What the server has counted until now was not for it."""
        if self._site.counts:
            self._site.counts()
        closing = ["Connection=close"] if self._closing else []
        return [*self._loop.command(task, folder), self._site.ca_file, "Accept-Encoding=identity", *closing]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """The result that the loop reported, compared with what the server has counted. Raises Crashed."""
        result = read_result(cost, folder, folder / "out")
        counted = self._site.counts() if self._site.counts else None
        return Outcome(
            rate=result.count / result.seconds,
            cpu=result.cpu / result.count,
            memory=cost.memory,
            urls=frozenset(urljoin(self._site.url, path) for path in counted.paths) if counted else None,
            statuses=result.statuses,
            size=result.size,
            connections=result.connections,
            wrong=self.difference(result, counted),
        )

    def difference(self, result: ChildResult, counted: ServerCounts | None) -> str:
        """What a loop did otherwise than it should or says, "" for nothing. `counted` None: the server is not ours."""
        begun, pages = result.connections, result.count
        if self._closing and begun != pages:
            return f"{begun:,} connections for {pages:,} pages"
        if not self._closing and begun > self._in_flight and (counted or begun >= pages):
            return f"{begun:,} connections, though {self._in_flight} kept ones are enough"
        if counted is None:
            return ""
        if counted.connections != begun:
            return f"began {begun:,} connections, the server accepted {counted.connections:,}"
        if counted.handshakes != begun or counted.resumed:
            return f"{begun:,} connections had {counted.handshakes:,} handshakes, {counted.resumed:,} of them resumed"
        if len(counted.paths) != pages:
            return f"{pages:,} pages took {len(counted.paths):,} requests"
        if counted.statuses != result.statuses:
            return f"says {in_words(dict(result.statuses))}, the server {in_words(counted.statuses)}"
        if counted.size != result.size:
            return f"received {result.size:,} bytes of bodies, the server sent {counted.size:,}"
        return ""


def loops_on(site: BenchSite, in_flight: int) -> tuple[TlsLoop, ...]:
    """What is measured, the baseline first."""
    return tuple(TlsLoop(loop, site, in_flight, closing=closing) for closing in (False, True) for loop in LOOPS)


def agreed_with(site: BenchSite) -> str:
    """The version of TLS and the cipher that the site agrees on. Raises UsageError."""
    parts = urlsplit(site.url)
    name = parts.hostname or ""
    context = tls_context(site.ca_file)
    try:
        with (
            socket.create_connection((name, parts.port or 443), PATIENCE) as line,
            context.wrap_socket(line, server_hostname=server_name(name)) as secure,
        ):
            cipher = secure.cipher()
            return f"{secure.version()} {cipher[0] if cipher else ''}".strip()
    except OSError as error:
        raise UsageError(f"no TLS with {site.url}: {one_line(error)}") from error


def as_table(found: Result, agreed: str, *, counted: bool) -> BenchTable:
    """The results, ready to be shown. `counted`: the server counted, too."""
    first, *other = conditions(*found)
    lines = [
        f"{first}, {agreed}",
        *other,
        "closing: one connection per page, with a full handshake; else they are kept;",
        "opened: connections to the server",
    ]
    rows: list[tuple[str, ...]] = [("pages/s : raw", "CPU/page : raw", "opened", "work")]
    rows += [
        (ratios(one.rates), ratios(one.cpus), f"{one.connections:,}", work(one))
        if one.rates
        else (escape_unprintable(one.wrong),)
        for one in found.scores
    ]
    names = ["", *(score.entrant.name for score in found.scores)]
    by = "the server counted the same" if counted else "the server's own count is not known"
    return BenchTable(lines, names, rows, verdict(found.scores, f"same URLs, answers, bytes and connections; {by}"))


def as_fields(found: Result, agreed: str, *, counted: bool) -> dict[str, Any]:
    """The same for scripts, with the fields of every bench."""
    fields = as_json(*found, [])
    for entrant, score in zip(fields["entrants"], found.scores, strict=True):
        entrant["connections"] = score.connections
    return fields | {"tls": agreed, "counted": counted}
