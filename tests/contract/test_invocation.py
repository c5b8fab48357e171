"""Hints repeat the command that was called, and install what is ours."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from crawler.system.invocation import DISTRIBUTION, ROOT, called, pip_install


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "crawler"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_script_that_the_shell_finds_is_called_by_its_name(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [str(script)])
    monkeypatch.setenv("PATH", str(script.parent))
    assert called() == "crawler"


def test_a_script_that_the_shell_does_not_find_is_called_by_its_path(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [str(script)])
    monkeypatch.setenv("PATH", "/nowhere")
    assert called() == str(script)


@pytest.mark.parametrize("program", ["/x/crawler/__main__.py", "mine.py", "-c", "", "/nowhere/crawler"])
def test_everything_else_is_called_as_a_module(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [program])
    assert called() == "python -m crawler"


def test_an_extra_is_installed_from_the_checkout_or_from_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pip_install("tls", tmp_path) == "pip install 'crawler-engines[tls]'"
    (tmp_path / "pyproject.toml").touch()
    assert pip_install("tls", tmp_path) == f"pip install -e '{tmp_path}[tls]'"
    monkeypatch.chdir(tmp_path)
    assert pip_install("tls", tmp_path) == "pip install -e '.[tls]'"


def test_no_extra_names_another_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == DISTRIBUTION
    of_itself = [line for extra in project["optional-dependencies"].values() for line in extra if "crawler" in line]
    assert of_itself and all(line.startswith(f"{DISTRIBUTION}[") for line in of_itself)
