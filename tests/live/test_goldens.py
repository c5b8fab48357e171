"""Directories of earlier releases, of each format and mode, are read unchanged and resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from crawler.testweb.oracle import crawl_digest, expected
from crawler.testweb.process import StartedWeb
from crawler.testweb.web import Web
from tests.goldens import CONFIG, WEB, archives, command, outputs, serve, unpack

DIGEST = crawl_digest(expected(Web(**WEB)))
ARCHIVES = list(archives())
NAMES = [f"{path.parent.name}-{path.name.removesuffix('.tar.xz')}" for path in ARCHIVES]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StartedWeb, Path]]:
    folder = tmp_path_factory.mktemp("web")
    with serve(folder) as started:
        yield started, folder


@pytest.fixture(params=ARCHIVES, ids=NAMES)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return unpack(request.param, tmp_path)


def expected_outputs(archive_of: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    archive: Path = request.node.callspec.params["kept"]
    said: dict[str, Any] = json.loads(archive.with_name(f"{archive_of.name}.json").read_text())
    return said


def files(path: Path) -> dict[str, str]:
    """The files of a crawl, except the index of a log, which every reader creates anew."""
    every = (file for file in path.rglob("*") if file.is_file() and not file.name.endswith(("-shm", "-wal")))
    return {str(file.relative_to(path)): sha256(file.read_bytes()).hexdigest() for file in every}


def within(old: Any, new: Any) -> bool:
    """Whether all expected values are present; there may be more."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and within(old[key], new[key]) for key in old)
    if isinstance(old, list):
        return len(old) == len(new) and all(within(*pair) for pair in zip(old, new, strict=True))
    return bool(old == new)


def test_commands_that_only_read_give_the_expected_output_and_change_nothing(
    kept: Path, request: pytest.FixtureRequest
) -> None:
    before, said = files(kept), expected_outputs(kept, request)
    said["status"].pop("complete")  # earlier releases also said it of crawls with missed pages
    now = outputs(kept.parent, kept.name)
    for word in said:
        assert within(said[word], now[word]), word
    assert files(kept) == before
    assert command(kept.parent, "report", kept.name).returncode == 0
    assert {**files(kept), "report.html": ""} == {**before, "report.html": ""}


@pytest.mark.parametrize("mode", ["async", "prefork"])
def test_it_is_resumed_to_its_end_in_any_mode(
    kept: Path, mode: str, web: tuple[StartedWeb, Path], request: pytest.FixtureRequest
) -> None:
    status = expected_outputs(kept, request)["status"]
    digest = DIGEST if status["owed"] else status["digest"]
    words = ("resume", kept.name, "--config", str(web[1] / CONFIG), "--mode", mode, "--processes", "2", "--delay", "0")
    ended = command(kept.parent, *words, "--max-pages", "9999", "--json", "-q")
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["owed"], summary["digest"]) == (0, digest)
    verified = json.loads(command(kept.parent, "verify", kept.name, "--json").stdout)
    assert (verified["wrong"], verified["digest"]) == (0, digest)
    assert command(kept.parent, "repair", kept.name).stdout.startswith("nothing to repair")
