"""No dependency is older than the release that fixed the vulnerabilities relevant to a crawler.

The lower bounds are in pyproject.toml. Here they are compared with the installed versions and with the releases that
are known to be needed.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.version import Version  # installed with pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {
    "aiohttp": "3.14.4",  # a cookie could block a connection for ever (CVE-2026-111065), quadratic gzip members
    "yarl": "1.25.1",
    "urllib3": "2.8.0",  # endless chunk lines (CVE-2026-97689)
    "protego": "0.6.2",  # quadratic robots.txt (CVE-2026-55520)
    "brotli": "1.2.0",  # unbounded output (CVE-2025-6176)
    "idna": "3.7",  # quadratic time for long names (CVE-2024-3651); installed with yarl
}


def floors() -> dict[str, str]:
    """Lower bounds in pyproject.toml by the name of the package in lower case."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {}
    for line in [*project["dependencies"], *project["optional-dependencies"]["clients"]]:
        match = re.fullmatch(r"([\w.-]+)>=([\w.]+)(?:,<[\w.]+)?(?: *;.*)?", line)
        assert match, f"{line} has no lower bound"
        found[match[1].lower()] = match[2]
    return found


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_lower_bounds_and_installed_versions_have_the_needed_fixes(name: str) -> None:
    assert Version(floors()[name]) >= Version(NEEDED[name])
    assert Version(version(name)) >= Version(NEEDED[name])


@pytest.mark.parametrize("name", sorted(floors()))
def test_installed_versions_satisfy_the_lower_bounds(name: str) -> None:
    try:
        installed = version(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not for this version of Python")
    assert Version(installed) >= Version(floors()[name])
