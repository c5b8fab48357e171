"""What the service answers when there is too much, or when it is itself in trouble."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from crawler.errors import DiskFull, StorageError
from crawler.service.config import ServiceConfig
from crawler.service.problems import MEDIA
from crawler.service.routing import API
from crawler.service.server import SLOWEST, listen_on, parse_listen
from crawler.service.streaming import CHUNK, StreamLimit
from tests.service.served import Served, serving

SETTINGS = {"seeds": ["http://127.0.0.1:9/"]}


def test_a_full_queue_is_told(tmp_path: Path) -> None:
    with serving(tmp_path, ServiceConfig(max_running=1, max_queued=1)) as served:
        served.ask("POST", f"{API}/jobs", {"name": "many", "settings": SETTINGS})
        answers = [served.ask("POST", f"{API}/jobs/many/runs") for _ in range(4)]
        assert {one.status for one in answers} == {202, 429}
        refused = answers[-1]
        assert refused.headers["Retry-After"] and "max_queued" in refused.json["detail"]


@pytest.mark.parametrize(("error", "status"), [(StorageError("no disk"), 503), (DiskFull("full"), 507)])
def test_trouble_with_the_disk_is_told(
    served: Served, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(served.service, "add_job", fail)
    answer = served.ask("POST", f"{API}/jobs", {"name": "x", "settings": SETTINGS})
    assert (answer.status, answer.json["detail"]) == (status, str(error))
    assert answer.headers["Retry-After"] and answer.headers["Content-Type"] == MEDIA


def test_a_bug_says_nothing_of_itself(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the secret is 42")

    monkeypatch.setattr(served.service, "jobs", fail)
    answer = served.ask("GET", f"{API}/jobs")
    assert answer.status == 500 and b"42" not in answer.body and "bug" in answer.json["detail"]
    assert served.ask("GET", f"{API}/runs").status == 200


@pytest.fixture
def any_run(served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Lets every run be there, with this crawl directory."""

    async def run(key: str) -> Any:
        return type("Run", (), {"id": key})

    monkeypatch.setattr(served.service, "run", run)
    monkeypatch.setattr(served.service, "directory", lambda key: tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", ["pages", "errors", "hosts", "files", "report", "export"])
def test_a_damaged_crawl_is_told(served: Served, any_run: Path, path: str) -> None:
    (any_run / "crawl.json").write_text("{")
    answer = served.ask("GET", f"{API}/runs/x/{path}")
    assert answer.status == 503 and "damaged" in answer.json["detail"], answer


def test_an_export_that_fails_is_cut(served: Served, any_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lines(*_: object) -> Iterator[str]:
        yield "x" * CHUNK
        raise StorageError("the disk is gone")

    monkeypatch.setattr("crawler.service.crawl_reader.export_lines", lines)
    with pytest.raises((IncompleteRead, ConnectionResetError)):
        served.ask("GET", f"{API}/runs/x/export")


def test_there_are_no_more_exports_than_may_be(served: Served, any_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.service.routes.results.exporting", StreamLimit(0))
    monkeypatch.setattr("crawler.service.routes.results.following", StreamLimit(0))
    monkeypatch.setattr(served.service, "log_file", lambda key: any_run / "x.log")
    for path in ("export", "log?follow=true"):
        answer = served.ask("GET", f"{API}/runs/x/{path}")
        assert answer.status == 429 and answer.headers["Retry-After"]
    assert served.ask("GET", f"{API}/runs/x/log").status == 200


def test_the_kernel_drops_clients_that_take_nothing() -> None:
    """What is accepted inherits the option of the socket that listens."""
    with listen_on(parse_listen("127.0.0.1:0"), False) as listening, socket.socket() as client:
        client.connect(listening.getsockname())
        listening.setblocking(True)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SLOWEST * 1000


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: local"], ids=["nothing", "half a head"])
def test_a_client_that_sends_no_request_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("crawler.service.server.IDLE", 0.1)
    with serving(tmp_path) as served:
        assert served.send(sent) == b""
