"""`crawler serve` as a process: its first line, its end, what it refuses to start with."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from crawler.cli.service_client import ServiceClient
from tests.live.test_cli import PATIENCE, finish, run, start
from tests.service.site import site


class Serving(NamedTuple):
    """A service as a process, and what it told of itself."""

    process: subprocess.Popen[str]
    told: Any
    client: ServiceClient


@contextmanager
def serving(folder: Path, *more: str) -> Iterator[Serving]:
    process = start("serve", "--listen", "127.0.0.1:0", "--json", *more, cwd=folder)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=PATIENCE)
        told = json.loads(line)
        token = (folder / told["token_file"]).read_text().strip()
        yield Serving(process, told, ServiceClient(told["url"], token))
    finally:
        process.kill()
        process.communicate()


def wait_for(client: ServiceClient, run: str, state: str) -> None:
    while client.ask("GET", f"/runs/{run}")["state"] != state:
        pass


def test_it_tells_its_address_ends_in_order_and_goes_on_later(tmp_path: Path) -> None:
    with site() as web:
        with serving(tmp_path) as one:
            assert set(one.told) == {"url", "token_file", "pid"}
            assert one.told["pid"] == one.process.pid and one.told["url"].startswith("http://127.0.0.1:")
            token = tmp_path / one.told["token_file"]
            assert stat.S_IMODE(token.stat().st_mode) == 0o600
            assert json.loads((tmp_path / "crawler-data/address.json").read_text()) == one.told
            locked = run("serve", "--listen", "127.0.0.1:0", cwd=tmp_path)
            assert locked.code == 3 and "crawler-data" in locked.err and locked.out == ""
            settings = {"seeds": [f"{web.url}/hang"], "delay": 0}
            one.client.ask("POST", "/jobs", {"name": "hanging", "settings": settings})
            name = one.client.ask("POST", "/jobs/hanging/runs")["id"]
            wait_for(one.client, name, "running")
            one.process.send_signal(signal.SIGTERM)
            ended = finish(one.process)
            assert (ended.code, ended.err) == (0, "")
            assert not (tmp_path / "crawler-data/address.json").exists()
        with serving(tmp_path) as one:
            web.let_go.set()
            wait_for(one.client, name, "succeeded")
            one.process.send_signal(signal.SIGINT)
            assert finish(one.process).code == 0


def test_a_damaged_database_is_refused_and_made_anew_on_demand(tmp_path: Path) -> None:
    (tmp_path / "crawler-data").mkdir()
    (tmp_path / "crawler-data/service.sqlite").write_bytes(b"x" * 10_000)
    ran = run("serve", "--listen", "127.0.0.1:0", cwd=tmp_path)
    assert ran.code == 3 and "--rebuild" in ran.err and ran.err.count("\n") == 1
    with serving(tmp_path, "--rebuild") as one:
        assert one.client.ask("GET", "/jobs")["items"] == []


def test_what_it_cannot_start_with_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[service]\nmax_runing = 1\n")
    for words, told in (
        (("--config", "c.toml"), "max_running"),
        (("--listen", "0.0.0.0:0"), "--allow-remote"),
    ):
        ran = run("serve", *words, cwd=tmp_path)
        assert ran.code == 2 and told in ran.err and ran.err.count("\n") == 1 and ran.out == ""
    assert [one.name for one in tmp_path.iterdir()] == ["c.toml"]


def test_help_needs_none_of_the_servers_libraries() -> None:
    code = (
        "import sys\nfrom crawler.cli.group import cli\nimport click\n"
        "cli.get_help(click.Context(cli))\n"
        "for name in ('serve', 'job', 'schedule'): cli.get_command(click.Context(cli), name)\n"
        "print(sorted({'aiohttp', 'asyncio', 'jinja2', 'prometheus_client', 'msgspec', 'uvloop'} & sys.modules.keys()))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
