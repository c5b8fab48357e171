"""URLs beyond `--max-depth` are counted exactly, in all modes, whatever is killed, and a later run can fetch them.

The web has layers: every path to a page has the same length, so the number of pages at each depth does not depend on
the order of answers. Pages link back to the root, to themselves, and twice to what they link to.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import variants
from crawler.storage.directory import CrawlDirectory
from tests.contract.raw_server import RawServer, Step, response
from tests.live.test_cli import Ran, finish, run, start

HOSTS, LAYERS, WIDTH, LINKS = 3, 6, 30, 4


class Layers:
    """A layered web: page n of layer d lies at /d/n of host n % HOSTS."""

    def __init__(self) -> None:
        dice = random.Random(5)
        self.links = {(0, 0): [(1, n) for n in range(HOSTS)]}
        for layer in range(1, LAYERS):
            pages = {page for links in self.links.values() for page in links if page[0] == layer}
            for page in sorted(pages):
                self.links[page] = [(layer + 1, dice.randrange(WIDTH)) for _ in range(LINKS)]
        for n in sorted({page for links in self.links.values() for page in links if page[0] == LAYERS}):
            self.links[n] = []

    def count(self, layers: range) -> int:
        """How many pages lie in these layers."""
        return sum(page[0] in layers for page in self.links)

    def reply(self, path: str) -> list[Step]:
        """The answer of the server."""
        _, *place = path.split("/")
        if place == ["robots.txt"]:
            return [response(b"User-agent: *\n"), "keep"]
        layer, number = (0, 0) if place == [""] else (int(place[0]), int(place[1]))
        around = [(0, 0), (layer, number), *self.links[layer, number]]
        targets = [
            f"http://h{n % HOSTS}.site.test/{depth}/{n}" if depth else "http://h0.site.test/" for depth, n in around
        ]
        body = "".join(f'<a href="{url}">x</a>' for url in (*targets, *targets, "http://out.test/x")).encode()
        return [0.005, response(body, "Content-Type: text/html"), "keep"]


WEB = Layers()


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """The configuration of a crawl of the web."""
    with RawServer(WEB.reply) as server:
        resolve = "".join(f'"h{n}.site.test" = "127.0.0.1:{server.port}"\n' for n in range(HOSTS))
        path = tmp_path / "c.toml"
        path.write_text(f'scope = "domain"\ndelay = 0.0\nper_host = 4\nconcurrency = 12\n[resolve]\n{resolve}')
        yield path


def arguments(mode: str, config: Path, depth: int) -> list[str]:
    words = ["--mode", mode, "--config", str(config), "--max-depth", str(depth), "--json", "-q"]
    return ["http://h0.site.test/", *words, "--resume", "--out", "c"]


def check(ran: Ran, depth: int) -> None:
    summary = ran.json
    assert (ran.code, summary["ending"], summary["complete"]) == (0, "complete", True), ran
    assert (summary["pages"], summary["too_deep"]) == (
        WEB.count(range(depth + 1)),
        WEB.count(range(depth + 1, depth + 2)),
    )


@pytest.mark.parametrize("mode", variants.names())
def test_the_count_is_exact_at_every_depth_and_a_larger_depth_continues(
    mode: str, config: Path, tmp_path: Path
) -> None:
    others = [name for name in variants.names() if name != mode]
    for depth, used in ((0, mode), (1, others[0]), (3, mode), (2, mode), (4, others[1])):
        check(run(*arguments(used, config, depth), cwd=tmp_path), max(depth, 3 if depth == 2 else 0))
    last = run(*arguments(mode, config, 99), cwd=tmp_path).json
    assert (last["pages"], last["too_deep"], last["complete"]) == (WEB.count(range(99)), 0, True)
    verified = run("verify", "c", cwd=tmp_path)
    assert verified.code == 0, verified


@pytest.mark.parametrize("mode", variants.names())
def test_the_count_survives_kills(mode: str, config: Path, tmp_path: Path) -> None:
    dice = random.Random(len(mode))
    for _ in range(3):
        process = start(*arguments(mode, config, 4), cwd=tmp_path)
        while process.poll() is None and not CrawlDirectory.exists(tmp_path / "c"):
            time.sleep(0.005)
        time.sleep(dice.uniform(0.1, 1.0))
        process.send_signal(signal.SIGKILL)
        finish(process)
    check(run(*arguments(mode, config, 4), cwd=tmp_path), 4)
