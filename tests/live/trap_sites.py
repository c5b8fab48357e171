"""`python -m tests.live.trap_sites [--pages N] [--modes async,...]`: traps and ordinary sites in one crawl.

Twenty ordinary sites of 500 pages, one with 5,000 of one pattern, and every trap, crawled together with the default
limits by each mode. Printed: how many requests each trap got, and what share of the ordinary pages was found.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
from collections import Counter
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import variants
from crawler.core.urls.canonical import host_of, path_of
from crawler.settings import merge_layers
from tests.contract.webs import crawl, rows
from tests.live.answers import Answers
from tests.trap_web import HONEST, TRAPS, honest


class TrapWeb:
    """Every trap and `copies` of each ordinary site, on one loopback port; `asked` counts requests by (host,
    target)."""

    def __init__(self, pages: dict[str, int]) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self.pages = pages
        self._server = _Server(("127.0.0.1", 0), _Answers)
        self._server.web = self
        self.port = self._server.server_port

    @property
    def hosts(self) -> list[str]:
        """The names of all sites."""
        return [*(f"{name}.trap" for name in TRAPS), *(f"{name}.honest" for name in self.pages)]

    def __enter__(self) -> TrapWeb:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    web: TrapWeb


class _Answers(Answers):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        web = self.server.web
        host, target = self.headers["Host"].partition(":")[0], self.path
        web.asked[host, target] += 1
        name, _, kind = host.partition(".")
        if target == "/robots.txt" and name != "honeypot":
            return self._answer(404, b"")
        if kind == "honest":
            answer = honest(name.partition("-")[0], target, web.pages[name])
        else:
            answer = TRAPS[name](target, web.asked[host, target])
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        for header, value in (("Location", answer.location), ("Set-Cookie", answer.cookie)):
            if value:
                self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)
        return None


class Outcome(NamedTuple):
    """The result of a crawl: requests of each trap (without robots.txt), ordinary pages that were missed, and the
    reasons of all URLs that were refused on ordinary sites."""

    requests: dict[str, int]
    missed: dict[str, int]
    false_stops: Counter[str]
    reasons: dict[str, dict[str, int]]
    complete: bool  # nothing is owed
    honeypot: list[str]


def crawled(web: TrapWeb, mode: str, out: Path, **keys: object) -> Outcome:
    """Crawl all sites in one crawl without delay."""
    web.asked.clear()
    settings = merge_layers(
        {
            "mode": mode,
            "seeds": [f"http://{host}/" for host in web.hosts],
            "resolve": dict.fromkeys(web.hosts, f"127.0.0.1:{web.port}"),
            "delay": 0.0,
            "per_host": 8,
            "concurrency": 32,
            "processes": 2,
            "report": False,
            **keys,
        }
    )
    summary = crawl(out, settings)
    ends = rows(out)
    requests: Counter[str] = Counter()
    for (host, target), count in web.asked.items():
        requests[host.partition(".")[0]] += count * (target != "/robots.txt" and host.endswith(".trap"))
    missed, false_stops = {}, Counter[str]()
    for name, pages in web.pages.items():
        kind = HONEST[name.partition("-")[0]]
        wanted = {f"http://{name}.honest{kind(n)}" for n in range(pages)}
        missed[name] = sum(url not in ends or ends[url].reason != "ok" for url in wanted)
    reasons: dict[str, Counter[str]] = {name: Counter() for name in TRAPS}
    for row in ends.values():
        name = host_of(row.url).removeprefix("http://")
        if name.endswith(".trap"):
            reasons[name.removesuffix(".trap")][row.reason] += 1
        elif row.reason != "ok":
            false_stops[row.reason] += 1
    pit = [target for host, target in web.asked if host == "honeypot.trap" and target not in ("/", "/robots.txt")]
    by_pattern = {name: dict(sorted(counts.items())) for name, counts in reasons.items()}
    return Outcome(
        {name: requests[name] for name in TRAPS},
        {name: count for name, count in missed.items() if count},
        false_stops,
        by_pattern,
        summary.over,
        [path_of(f"http://h{target}") for target in pit],
    )


def main() -> None:
    """Crawl the large web in each mode and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=500, help="pages of each of the twenty ordinary sites")
    parser.add_argument("--large", type=int, default=5000, help="pages of the large one")
    parser.add_argument("--modes", default=",".join(variants.names()))
    chosen = parser.parse_args()
    pages = {f"{kind}-{copy}": chosen.pages for kind in HONEST for copy in range(2)} | {"shop-large": chosen.large}
    for mode in chosen.modes.split(","):
        with TrapWeb(pages) as web, tempfile.TemporaryDirectory() as folder:
            print(json.dumps({"mode": mode, **crawled(web, mode, Path(folder) / "c")._asdict()}), flush=True)


if __name__ == "__main__":
    main()
