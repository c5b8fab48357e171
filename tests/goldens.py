"""Golden directories: small crawls written by a release, which every later one must read and resume.

`python -m tests.goldens FOLDER` makes those of the format of this release: one archive for each crawl and the outputs
that were expected of it then. All are crawls of one small web (`WEB`), which later releases serve to resume them.
An archive is made once, by the last release of its format, and never again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

from msgspec.structs import replace

from crawler.core.messages import Budget, Cookie, CookieNote, HostNote, Link, OutboxLink, ShardOutput
from crawler.core.shards.shard import Shard
from crawler.core.urls.canonical import host_of
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.base import Batch
from crawler.testweb.process import StartedWeb, start_web
from crawler.testweb.settings import to_toml
from tests.faults.crawlers import living

GOLDEN = Path(__file__).parent / "golden"
WEB: dict[str, Any] = {"seed": 1, "hosts": 13, "pages": 100}
CONFIG = "web.toml"
HOST = "http://host-00.demo.test"
PATTERN = 0x5EED


class Golden(NamedTuple):
    """One crawl: how it was started and stopped (`killed`: with SIGKILL, before its logs were checkpointed)."""

    name: str
    options: tuple[str, ...]
    killed: bool = False


CRAWLS = (
    Golden("async-complete", ("--mode", "async", "--store", "files")),
    Golden("async-killed", ("--mode", "async", "--delay", "0.2"), killed=True),
    Golden("threads-limit", ("--mode", "threads", "--max-pages", "30")),
    Golden("processes-limit", ("--mode", "processes", "--processes", "2", "--max-pages", "36")),
    Golden("prefork-limit", ("--mode", "prefork", "--processes", "2", "--store", "files", "--max-pages", "60")),
    Golden("prefork-killed", ("--mode", "prefork", "--processes", "2", "--delay", "0.2"), killed=True),
)

HURRY = "host_patience = 0.5\nbackoff = 0.05\nrobots_backoff = 0.05\nbreaker_rest = 0.05\n"


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the crawler, in a folder that has a configuration."""
    root = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root}
    return subprocess.run(
        [sys.executable, "-m", "crawler", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def outputs(folder: Path, name: str) -> dict[str, Any]:
    """The output of the commands that only read: objects, and the lines of the export sorted by URL."""
    status, verify = (json.loads(command(folder, word, name, "--json").stdout) for word in ("status", "verify"))
    rows = [json.loads(line) for line in command(folder, "export", name).stdout.splitlines()]
    return {"status": status, "verify": verify, "export": sorted(rows, key=lambda row: str(row["url"]))}


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an archive; returns the crawl directory."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.xz")


def archives() -> Iterator[Path]:
    """The archives of all formats."""
    return iter(sorted(GOLDEN.glob("format-*/*.tar.xz")))


def serve(folder: Path) -> StartedWeb:
    """Serve the web and write a configuration for it."""
    web = start_web(**WEB)
    (folder / CONFIG).write_text(HURRY + to_toml(web.settings), encoding="utf-8")
    return web


def make(golden: Golden, folder: Path) -> None:
    """Run one crawl in the folder of the configuration."""
    words = ("crawl", "--profile", "demo", "--config", CONFIG, "--out", golden.name, "--json", "-q", *golden.options)
    if not golden.killed:
        ended = command(folder, *words)
        assert ended.returncode in (0, 1), ended.stderr
    else:
        _kill(folder, folder / golden.name, words)
    if golden.name.endswith("limit"):
        _enrich(folder / golden.name)


def _kill(folder: Path, path: Path, words: tuple[str, ...]) -> None:
    """Start a crawl and kill all its processes once it has some pages."""
    process = subprocess.Popen(
        [sys.executable, "-m", "crawler", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    give_up_at = monotonic() + 30
    while monotonic() < give_up_at:
        sleep(0.05)
        status = command(folder, "status", path.name, "--json")
        if status.returncode == 0 and json.loads(status.stdout)["pages"] >= 25:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while any(session == process.pid for _, _, session in living()):
        sleep(0.01)


def _enrich(path: Path) -> None:
    """Write one of each stored message, as a run would: a hold, a budget, cookies, a link to a shard."""
    directory = CrawlDirectory.open_readonly(path)
    shards = directory.manifest.shards
    owner = Shard(0, shards).owner(HOST)
    with closing(directory.open_frontiers()) as reader:
        known = next(url for url in reader.urls() if host_of(url) == HOST)
        owed = next(link for link in reader.owed() if host_of(link.url) == HOST)
    with closing(directory.frontier(owner)) as frontier:
        frontier.commit(
            Batch(
                retries=[replace(owed, attempts=1, status=503)],
                notes=[HostNote(HOST, None, 1.8e9, 0.0, 1.7e9, False)],
                budgets=[Budget(HOST, PATTERN, 7, 5, b"texts", b"words", "alike")],
                cookies={HOST: CookieNote(HOST, (Cookie("/", "n", "v", 4e9), Cookie("/a", "m", "w")))},
            ),
            1.7e9,
        )
    if shards > 1:
        sender = (owner + 1) % shards
        foreign = OutboxLink(1_000_000, owner, Link(0, known, 1, (f"{HOST}/from",)))
        with closing(directory.frontier(sender)) as frontier:
            frontier.commit(Batch(outputs=[ShardOutput(foreign=[foreign])]), 1.7e9)


def main() -> None:
    """Make all golden directories of this format."""
    from crawler.storage.manifest import FORMAT

    target = Path(sys.argv[1]) / f"format-{FORMAT}"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serve(folder):
            for golden in CRAWLS:
                make(golden, folder)
                with tarfile.open(target / f"{golden.name}.tar.xz", "w:xz") as packed:  # before any command has read it
                    packed.add(folder / golden.name, golden.name, filter=_anonymous)
                printed = outputs(folder, golden.name)
                (target / f"{golden.name}.json").write_text(
                    json.dumps(printed, separators=(",", ":")) + "\n", encoding="utf-8"
                )
                print(golden.name, printed["verify"], printed["status"]["owed"])


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
