"""`python -m tests.live.endless_sites [--modes async,...] [--seed N] [--traps N] [--pages N] [--length N]`.

The sites of tests/endless_web.py on a loopback port, all in one crawl by each mode, and the wildcard domain in another.
A table shows the requests of each trap and what of its contents was stored, and how much of each ordinary site.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from collections import Counter
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import variants
from crawler.settings import merge_layers
from tests.contract.webs import crawl, rows
from tests.endless_web import HONEST, TRAPS, WILD, Made, Shown, wild
from tests.live.answers import Answers

SMALLER = {"session-menu": 30, "relative-menu": 8, "menu-echo": 5}


class EndlessWeb:
    """Every trap, with `trap` real pages each, and every ordinary site, with `honest` pages each."""

    def __init__(self, trap: Made, honest: Made) -> None:
        self.sites = {f"{name}.trap": (site, self._smaller(name, trap)) for name, site in TRAPS.items()}
        self.sites |= {f"{name}.honest": (site, honest) for name, site in HONEST.items()}
        self.asked: Counter[str] = Counter()
        self.turns: Counter[tuple[str, str]] = Counter()
        self._server = _Server(("127.0.0.1", 0), _Answers)
        self._server.web = self
        self.port = self._server.server_port

    @staticmethod
    def _smaller(name: str, made: Made) -> Made:
        return made._replace(size=min(made.size, SMALLER.get(name, made.size)))

    def show(self, host: str, target: str) -> Shown:
        """The answer of a host."""
        name = "wildcard.trap" if host.endswith("h.test") else host
        (site, _), made = self.sites[name]
        self.turns[host, target] += 1
        return site(made, f"//{host}{target}" if host != name else target, self.turns[host, target])

    def __enter__(self) -> EndlessWeb:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    web: EndlessWeb


class _Answers(Answers):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        host = self.headers["Host"].partition(":")[0]
        self.server.web.asked["wildcard.trap" if host.endswith("h.test") else host] += 1
        if self.path == "/robots.txt":
            return self._answer(404, b"")
        shown = self.server.web.show(host, self.path)
        return self._answer(shown.status, shown.body.encode())


class Outcome(NamedTuple):
    """The result of one site: requests, how many are allowed, contents in all, the share that was stored, the reasons
    of URLs that were not fetched, and whether the crawl ended by itself."""

    requests: int
    allowed: int
    contents: int
    stored: float
    refused: dict[str, int]
    over: bool


def crawled(web: EndlessWeb, mode: str, out: Path, names: list[str], **keys: object) -> dict[str, Outcome]:
    """Crawl some of the sites without delay."""
    web.asked.clear()
    web.turns.clear()
    is_wild = names == ["wildcard.trap"]
    hosts = ["h.test"] if is_wild else names
    everybody = [*hosts, *map(wild, range(WILD))] if is_wild else hosts
    settings = merge_layers(
        {
            "mode": mode,
            "seeds": [f"http://{host}/" for host in hosts],
            "scope": "domain" if is_wild else "host",
            "resolve": dict.fromkeys(everybody, f"127.0.0.1:{web.port}"),
            **{"delay": 0.0, "per_host": 4, "concurrency": 16, "processes": 2, "report": False, "max_pages": 200_000},
            **keys,
        }
    )
    summary = crawl(out, settings)
    requests = web.asked.copy()
    found: dict[str, set[str]] = {name: set() for name in names}
    refused: dict[str, Counter[str]] = {name: Counter() for name in names}
    for row in rows(out).values():
        host, slash, path = row.url.removeprefix("http://").partition("/")
        name = "wildcard.trap" if is_wild else host
        if row.reason == "ok":
            found[name].add(web.show(host, slash + path).content)
        elif not row.attempts:
            refused[name][row.reason] += 1
    outcomes = {}
    for name in names:
        (_, contents), made = web.sites[name]
        wanted = set(contents(made))
        share = len(found[name] & wanted) / len(wanted) if wanted else 1.0
        allowed = max(1000, 20 * len(wanted))
        outcomes[name] = Outcome(requests[name], allowed, len(wanted), share, dict(refused[name]), summary.owed == 0)
    return outcomes


def main() -> None:
    """Crawl everything in each mode and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modes", default=",".join(variants.names()))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--traps", type=int, default=30, help="real pages of each trap")
    parser.add_argument("--pages", type=int, default=3000, help="pages of each ordinary site")
    parser.add_argument("--length", type=int, default=20, help="words of a page")
    parser.add_argument("--only", default="", help="sites, with .trap or .honest")
    chosen = parser.parse_args()
    made = Made(chosen.seed, chosen.traps, chosen.length)
    for mode in chosen.modes.split(","):
        with EndlessWeb(made, made._replace(size=chosen.pages)) as web, tempfile.TemporaryDirectory() as folder:
            only = chosen.only.split(",") if chosen.only else list(web.sites)
            others = [name for name in only if name != "wildcard.trap"]
            outcomes = crawled(web, mode, Path(folder) / "c", others) if others else {}
            if "wildcard.trap" in only:
                outcomes |= crawled(web, mode, Path(folder) / "w", ["wildcard.trap"])
            for name, it in outcomes.items():
                fails = it.stored < (0.95 if name.endswith("trap") else 1.0)
                mark = "  <---" if fails or (name.endswith("trap") and it.requests > it.allowed) else ""
                print(
                    f"{mode:9} {name:23} {it.requests:6} {it.contents:6} {it.stored:7.2%} {it.refused}{mark}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
