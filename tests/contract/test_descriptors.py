"""A run is refused where the system does not allow the sockets it needs, and says what would fit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import crawler
import variants

ROOT = Path(crawler.__file__).parents[1]
ASK = "import resource; from crawler.descriptors import provide; provide({}); print(resource.getrlimit(7)[0])"


def limited(soft: int, hard: int, *command: str) -> subprocess.CompletedProcess[str]:
    shell = ["sh", "-c", f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$0" "$@"', sys.executable, *command]
    return subprocess.run(shell, capture_output=True, text=True, cwd=ROOT, timeout=60)


def test_the_soft_limit_is_raised_as_far_as_is_needed_and_allowed() -> None:
    assert limited(200, 1000, "-c", ASK.format(100)).stdout.strip() == "1000"
    assert limited(1000, 1000, "-c", ASK.format(234)).stdout.strip() == "1000"


@pytest.mark.parametrize("mode", variants.names())
def test_a_run_that_needs_more_is_refused_with_what_would_fit(mode: str, tmp_path: Path) -> None:
    flags = ("--mode", mode, "--concurrency", "900", "--processes", "1", "--out", str(tmp_path / "out"))
    refused = limited(300, 300, "-m", "crawler", "-q", *flags, "http://127.0.0.1:9/")
    assert refused.returncode == 2
    assert re.fullmatch(r"error: 900 fetches .* allows 300; choose --concurrency 59 or less.*\n", refused.stderr)
