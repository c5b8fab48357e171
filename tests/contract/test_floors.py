"""No dependency is older than the release that closed the holes that matter to a crawler.

The floors stand in pyproject.toml, which keeps installers from anything older; here they are held against what is
installed, and against the releases that are known to be needed.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.version import Version  # pytest brings it

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {
    "aiohttp": "3.14.4",  # a cookie could take a connection for ever (CVE-2026-111065), quadratic gzip members
    "yarl": "1.25.1",
    "urllib3": "2.8.0",  # endless chunk lines (CVE-2026-97689)
    "protego": "0.6.2",  # quadratic robots.txt (CVE-2026-55520)
    "brotli": "1.2.0",  # output that cannot be bounded (CVE-2025-6176)
    "idna": "3.7",  # quadratic names (CVE-2024-3651); comes with yarl
}


def floors() -> dict[str, str]:
    """What pyproject.toml asks for at least, by the name of the package in lower case."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {}
    for line in project["dependencies"]:
        match = re.fullmatch(r"([\w.-]+)>=([\w.]+)(?:,<[\w.]+)?(?: *;.*)?", line)
        assert match, f"{line} has no lower bound"
        found[match[1].lower()] = match[2]
    return found


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_what_is_needed_is_asked_for_and_installed(name: str) -> None:
    assert Version(floors()[name]) >= Version(NEEDED[name])
    assert Version(version(name)) >= Version(NEEDED[name])


@pytest.mark.parametrize("name", sorted(floors()))
def test_what_is_installed_is_what_is_asked_for(name: str) -> None:
    try:
        installed = version(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not for this version of Python")
    assert Version(installed) >= Version(floors()[name])
