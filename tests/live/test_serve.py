"""`crawler serve` and the commands that speak to it, as processes."""

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

import pytest

from tests.live.test_cli import PATIENCE, Ran, finish, run, start
from tests.service.site import PAGES, site


class Serving(NamedTuple):
    """A service as a process, what it told of itself, and the folder it was started in."""

    process: subprocess.Popen[str]
    told: Any
    folder: Path

    def ask(self, *words: str) -> Ran:
        """Run a command that speaks to it."""
        return run(*words, cwd=self.folder)


@contextmanager
def serving(folder: Path, *more: str) -> Iterator[Serving]:
    process = start("serve", "--listen", "127.0.0.1:0", "--json", *more, cwd=folder)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=PATIENCE)
        yield Serving(process, json.loads(line), folder)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path) as one:
        yield one


def test_the_first_line_tells_the_address_and_where_the_token_lies(served: Serving) -> None:
    assert set(served.told) == {"url", "token_file", "pid"}
    assert served.told["pid"] == served.process.pid and served.told["url"].startswith("http://127.0.0.1:")
    token = served.folder / served.told["token_file"]
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert json.loads((served.folder / "crawler-data/address.json").read_text()) == served.told


def test_a_job_from_the_shell(served: Serving) -> None:
    with site() as web:
        words = ("--set", "delay=0", "--set", "mode=async", "--tag", "small", "--min-pages", str(PAGES + 1))
        added = served.ask("job", "add", "small", f"{web.url}/", *words)
        assert (added.code, added.err) == (0, "") and added.out.startswith("added small (job_")
        ran = served.ask("job", "start", "small", "--wait", "--json")
        assert (ran.code, ran.json["state"], ran.json["reason"]) == (0, "succeeded", "degraded"), ran
    listed = served.ask("job", "list")
    assert "small" in listed.out and "succeeded (degraded)" in listed.out and "[small]" in listed.out
    assert [json.loads(line)["name"] for line in served.ask("job", "list", "--json").out.splitlines()] == ["small"]
    for name in ("small", ran.json["id"]):
        log = served.ask("job", "log", name, "--follow")
        assert (log.code, log.err) == (0, "")
    refused = served.ask("job", "stop", "small")
    assert (refused.code, refused.err) == (2, "error: no run of 'small' is active\n")


def test_a_job_that_hangs_is_stopped_from_the_shell(served: Serving) -> None:
    with site() as web:
        served.ask("job", "add", "hanging", f"{web.url}/hang")
        started = served.ask("job", "start", "hanging", "--json").json
        second = served.ask("job", "start", "hanging", "--json").json
        cancelled = served.ask("job", "cancel", second["id"])
        assert cancelled.out == f"{second['id']} cancelled\n", cancelled
        assert served.ask("job", "cancel", "hanging", "--force").code == 0
        waited = served.ask("job", "log", started["id"], "--follow")
        assert waited.code == 0


def test_a_schedule_from_the_shell(served: Serving) -> None:
    served.ask("job", "add", "nightly", "http://127.0.0.1:9/")
    assert served.ask("schedule", "list").out == "no schedules\n"
    added = served.ask("schedule", "add", "nightly", "30 2 * * *", "--zone", "Europe/Berlin", "--json")
    assert (added.code, added.json["overlap"]) == (0, "skip")
    name = added.json["id"]
    times = served.ask("schedule", "next", name, "-n", "3").out.splitlines()
    assert len(times) == 3 and all(" 02:30:00 +0" in line or " 03:00:00 +0" in line for line in times)
    assert len(served.ask("schedule", "next", name, "--json").json) == 10
    assert "paused" in served.ask("schedule", "pause", name).out
    assert "paused" in served.ask("schedule", "list").out
    assert "paused" not in served.ask("schedule", "resume", name).out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("job", "add", "x", "nonsense"), "settings.seeds"),
        (("job", "add", "x", "http://127.0.0.1:9/", "--set", "dleay=1"), "unknown key 'dleay'"),
        (("job", "add", "x", "http://127.0.0.1:9/", "--set", "delay"), "expected KEY=VALUE"),
        (("job", "add", "../x", "http://127.0.0.1:9/"), "name"),
        (("job", "start", "none"), "there is no job 'none'"),
        (("job", "log", "none"), "none"),
        (("schedule", "add", "none", "0 3 * * *"), "none"),
        (("schedule", "pause", "none"), "there is no schedule 'none'"),
        (("schedule", "next", "none"), "there is no schedule 'none'"),
    ],
)
def test_what_the_service_refuses_is_one_line(served: Serving, words: tuple[str, ...], told: str) -> None:
    ran = served.ask(*words)
    assert (ran.code, ran.out) == (2, "") and ran.err.count("\n") == 1
    assert ran.err.startswith("error: ") and told.removeprefix("settings.") in ran.err, ran.err


def test_without_a_service_the_commands_say_how_to_start_one(tmp_path: Path) -> None:
    ran = run("job", "list", cwd=tmp_path)
    assert ran.code == 2 and "no service runs with the folder crawler-data" in ran.err and "serve" in ran.err
    (tmp_path / "token").write_text("x")
    ran = run("job", "list", "--url", "http://127.0.0.1:2", "--token-file", "token", cwd=tmp_path)
    assert ran.code == 2 and "no service answers at http://127.0.0.1:2" in ran.err
    for url in ("ftp://127.0.0.1", "nonsense", "http://"):
        assert run("job", "list", "--url", url, "--token-file", "token", cwd=tmp_path).code == 2


def test_the_address_may_be_named_instead_of_the_folder(served: Serving, tmp_path: Path) -> None:
    words = ("--url", served.told["url"], "--token-file", str(served.folder / served.told["token_file"]))
    assert run("job", "list", *words, cwd=tmp_path).out == "no jobs\n"
    (tmp_path / "wrong").write_text("wrong")
    ran = run("job", "list", *words[:3], "wrong", cwd=tmp_path)
    assert ran.code == 2 and "token" in ran.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_what_ran_goes_on_later(tmp_path: Path, number: int) -> None:
    with site() as web:
        with serving(tmp_path) as one:
            one.ask("job", "add", "hanging", f"{web.url}/hang")
            name = one.ask("job", "start", "hanging", "--json").json["id"]
            while one.ask("job", "list").out.split()[2] != "running":
                pass
            one.process.send_signal(number)
            ended = finish(one.process)
            assert (ended.code, ended.err) == (0, "")
            assert not (tmp_path / "crawler-data/address.json").exists()
        with serving(tmp_path) as one:
            web.let_go.set()
            log = one.ask("job", "log", name, "--follow")
            assert log.code == 0
            assert "succeeded" in one.ask("job", "list").out


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
def test_only_loopback_is_listened_on_unless_a_flag_says_otherwise(tmp_path: Path, listen: str) -> None:
    ran = run("serve", "--listen", listen, cwd=tmp_path)
    assert ran.code == 2 and "--allow-remote" in ran.err and ran.out == ""
    assert list(tmp_path.iterdir()) == []


def test_with_the_flag_it_listens_everywhere(tmp_path: Path) -> None:
    process = start("serve", "--listen", "0.0.0.0:0", "--allow-remote", "--json", cwd=tmp_path)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["url"].startswith("http://0.0.0.0:")
    finally:
        process.terminate()
        assert finish(process).code == 0


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", "host name:1", ""])
def test_an_address_that_is_none_is_refused(tmp_path: Path, listen: str) -> None:
    ran = run("serve", "--listen", listen, cwd=tmp_path)
    assert ran.code == 2 and ran.err.count("\n") == 1 and "HOST:PORT" in ran.err


def test_a_port_and_a_folder_are_used_once(served: Serving, tmp_path: Path) -> None:
    port = served.told["url"].rpartition(":")[2]
    taken = run("serve", "--data", "other", "--listen", f"127.0.0.1:{port}", cwd=tmp_path)
    assert taken.code == 2 and "choose another --listen" in taken.err and not (tmp_path / "other").exists()
    locked = run("serve", "--listen", "127.0.0.1:0", cwd=served.folder)
    assert locked.code == 3 and "crawler-data" in locked.err and locked.out == ""


def test_a_damaged_database_is_refused_and_made_anew_on_demand(tmp_path: Path) -> None:
    with site() as web, serving(tmp_path) as one:
        one.ask("job", "add", "small", f"{web.url}/", "--set", "delay=0")
        assert one.ask("job", "start", "small", "--wait").code == 0
        one.process.terminate()
        finish(one.process)
    (tmp_path / "crawler-data/service.sqlite").write_bytes(b"x" * 10_000)
    ran = run("serve", "--listen", "127.0.0.1:0", cwd=tmp_path)
    assert ran.code == 3 and "--rebuild" in ran.err and ran.err.count("\n") == 1
    with serving(tmp_path, "--rebuild") as one:
        assert "small" in one.ask("job", "list").out and "succeeded" in one.ask("job", "list").out


def test_a_wrong_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[service]\nmax_runing = 1\n")
    ran = run("serve", "--config", "c.toml", cwd=tmp_path)
    assert ran.code == 2 and "max_running" in ran.err


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
