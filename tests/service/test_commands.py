"""`crawler job` and `crawler schedule`, in this process, against a real service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler.cli.job import job
from crawler.cli.schedule import schedule
from crawler.errors import UsageError
from crawler.service.server import listen_on, parse_listen
from tests.service.served import Served
from tests.service.site import PAGES, Site, site

GROUPS = {"job": job, "schedule": schedule}
Ask = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def web() -> Iterator[Site]:
    with site() as one:
        yield one


@pytest.fixture
def ask(served: Served, capfdbinary: pytest.CaptureFixture[bytes]) -> Ask:
    """Run a command; its exit code and what it printed."""

    def run(group: str, *words: str) -> tuple[int, str]:
        code = GROUPS[group].main([*words, "--data", str(served.data)], standalone_mode=False)
        return code or 0, capfdbinary.readouterr().out.decode()

    return run


def one(told: tuple[int, str]) -> Any:
    """The one object that a command printed."""
    return json.loads(told[1])


def test_a_job_is_added_started_waited_for_and_listed(ask: Ask, web: Site) -> None:
    words = ("--set", "delay=0", "--set", "mode=async", "--tag", "small", "--min-pages", str(PAGES + 1))
    code, told = ask("job", "add", "small", f"{web.url}/", *words)
    assert code == 0 and told.startswith("added small (job_")
    ran = ask("job", "start", "small", "--wait", "--json")
    assert (ran[0], one(ran)["state"], one(ran)["reason"]) == (0, "succeeded", "degraded")
    listed = ask("job", "list")[1]
    assert "small" in listed and "succeeded (degraded)" in listed and "[small]" in listed
    assert [json.loads(line)["name"] for line in ask("job", "list", "--json")[1].splitlines()] == ["small"]
    for name in ("small", one(ran)["id"]):
        assert ask("job", "log", name, "--follow", "--tail", "5")[0] == 0
    with pytest.raises(UsageError, match="no run of 'small' is active"):
        ask("job", "stop", "small")


def test_a_job_that_crawls_again_makes_generations(ask: Ask, web: Site) -> None:
    assert ask("job", "add", "again", f"{web.url}/", "--recrawl", "--set", "delay=0", "--set", "mode=async")[0] == 0
    made = [one(ask("job", "start", "again", "--wait", "--json"))["generation"] for _ in range(2)]
    assert made == [0, 1]


def test_the_runs_of_a_job_are_cancelled(ask: Ask, web: Site) -> None:
    ask("job", "add", "hanging", f"{web.url}/hang", "--set", "robots=false")
    first, second = (one(ask("job", "start", "hanging", "--json"))["id"] for _ in range(2))
    assert ask("job", "cancel", second)[1] == f"{second} cancelled\n"
    assert first in ask("job", "cancel", "hanging", "--force")[1]
    assert ask("job", "log", first, "--follow")[0] == 0
    assert "cancelled" in ask("job", "list")[1]


def test_a_schedule_is_added_shown_paused_and_resumed(ask: Ask) -> None:
    ask("job", "add", "nightly", "http://127.0.0.1:9/")
    assert ask("schedule", "list")[1] == "no schedules\n"
    added = one(ask("schedule", "add", "nightly", "30 2 * * *", "--zone", "Europe/Berlin", "--jitter", "5", "--json"))
    assert (added["overlap"], added["jitter"]) == ("skip", 5.0)
    times = ask("schedule", "next", added["id"], "-n", "3")[1].splitlines()
    assert len(times) == 3 and all(" 02:30:00 +0" in line or " 03:00:00 +0" in line for line in times)
    assert len(one(ask("schedule", "next", added["id"], "--json"))) == 10
    assert "paused" in ask("schedule", "pause", added["id"])[1]
    assert "paused" in ask("schedule", "list")[1]
    assert "paused" not in ask("schedule", "resume", added["id"])[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("job", "add", "x", "nonsense"), "not a URL: 'nonsense'"),
        (("job", "add", "x", "http://127.0.0.1:9/", "--set", "dleay=1"), "unknown key 'dleay'"),
        (("job", "add", "x", "http://127.0.0.1:9/", "--set", "delay"), "expected KEY=VALUE"),
        (("job", "add", "x", "http://127.0.0.1:9/", "--set", "delay=-1"), "delay"),
        (("job", "add", "../x", "http://127.0.0.1:9/"), "bad value for name"),
        (("job", "start", "none"), "there is no job 'none'"),
        (("job", "stop", "run_none"), "there is no run 'run_none'"),
        (("job", "log", "none"), "none"),
        (("schedule", "add", "none", "0 3 * * *"), "none"),
        (("schedule", "pause", "none"), "there is no schedule 'none'"),
        (("schedule", "next", "none"), "there is no schedule 'none'"),
    ],
)
def test_what_the_service_refuses_is_one_line(ask: Ask, words: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(*words)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_without_a_service_the_commands_say_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no service runs with the folder .*serve --data"):
        job.main(["list", "--data", str(tmp_path)], standalone_mode=False)
    token = tmp_path / "secret"
    token.write_text("x")
    with pytest.raises(UsageError, match=r"no service answers at http://127\.0\.0\.1:2"):
        job.main(["list", "--url", "http://127.0.0.1:2", "--token-file", str(token)], standalone_mode=False)
    for url in ("ftp://127.0.0.1", "nonsense", "http://"):
        with pytest.raises(UsageError, match="--url"):
            job.main(["list", "--url", url, "--token-file", str(token)], standalone_mode=False)
    with pytest.raises(UsageError, match="--token-file"):
        job.main(["list", "--url", "http://127.0.0.1:2", "--token-file", str(tmp_path)], standalone_mode=False)


def test_a_token_that_is_wrong_is_told(served: Served, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    with pytest.raises(UsageError, match="token"):
        job.main(["list", "--url", served.url, "--token-file", str(tmp_path / "wrong")], standalone_mode=False)


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", "host name:1", "", ":1"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_listen(listen)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.test:0"])
def test_only_loopback_is_listened_on_unless_a_flag_says_otherwise(listen: str) -> None:
    with pytest.raises(UsageError, match="--allow-remote"):
        listen_on(parse_listen(listen), False)


def test_a_port_is_used_once_and_the_flag_allows_more_than_loopback(served: Served) -> None:
    with pytest.raises(UsageError, match="choose another --listen"):
        listen_on(parse_listen(f"127.0.0.1:{served.port}"), False)
    for listen in ("127.0.0.1:0", "localhost:0", "0.0.0.0:0"):
        listen_on(parse_listen(listen), listen.startswith("0")).close()
