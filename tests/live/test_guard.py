"""No crawl connects to a private address that is not allowed, however it is led there; see guarded_web.py.

Checked at both ends: by the server, to which every address of that network belongs, and with strace where installed.
The system's own resolver sorts answers by connecting datagram sockets to port 0, which sends nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .guarded_web import ALLOWED, BAD_PORTS, BLOCKED, CRAWLS, PUBLIC, RESOLVER, why_no_network

ROOT = Path(__file__).resolve().parents[2]
CONNECT = re.compile(r'connect\(\d+, \{sa_family=AF_INET6?, sin6?_port=htons\((\d+)\).*?"([^"]+)"')
REDIRECTING = {"/to-private", "/to-name", "/hop1", "/hop2", "/hop3"}


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    if why := why_no_network():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("guarded")
    words = ["unshare", "-n", "-m", sys.executable, "-m", "tests.live.guarded_web", str(folder)]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, dict[str, Any]] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("label", CRAWLS)
def test_no_crawl_connects_to_a_private_address(label: str, crawled: dict[str, dict[str, Any]]) -> None:
    did = crawled[label]
    assert set(did["reached"]) == set(PUBLIC), "the server saw a connection to another address"
    if did["connects"] is not None:
        made = [match.groups() for line in did["connects"] if (match := CONNECT.search(line))]
        assert {address.removeprefix("::ffff:") for port, address in made if port == "80"} == set(PUBLIC)
        assert {(port, address) for port, address in made if port not in ("80", "0")} == {("53", RESOLVER)}


@pytest.mark.parametrize("label", CRAWLS)
def test_every_url_settles_with_a_reason_and_allowed_urls_are_fetched(
    label: str, crawled: dict[str, dict[str, Any]]
) -> None:
    reasons = crawled[label]["reasons"]
    assert crawled[label]["code"] == 0
    assert re.fullmatch(r"warning: incomplete: missed robots_unavailable 1; .*\n", crawled[label]["errors"])
    blocked = [*BLOCKED, *(f"{url}1" for url in [*BLOCKED, *BAD_PORTS]), "http://10.0.0.1/deep/b"]
    assert {url: reasons.pop(url, None) for url in blocked} == dict.fromkeys(blocked, "blocked")
    assert reasons.pop("http://robots.test/") == "robots_unavailable"
    assert {reasons.pop("http://rebind.test/"), reasons.pop("http://rebind.test/1")} <= {"ok", "blocked"}
    assert reasons.pop("http://public.test/to-file") == "redirect_invalid"
    assert set(reasons) == set(ALLOWED) - {"http://public.test/to-file"}
    for url, reason in reasons.items():
        assert reason == ("redirect" if "/" + url.rpartition("/")[2] in REDIRECTING else "ok"), url
