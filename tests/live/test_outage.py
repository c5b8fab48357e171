"""The network fails in the middle of a crawl and comes back, in a network namespace whose loopback is taken down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crawler.testweb.oracle import crawl_digest, expected
from crawler.testweb.web import Web

HOSTS, PAGES = 24, 600
MODES = os.environ.get("OUTAGE_MODES", "async prefork").split()
AWAY = float(os.environ.get("OUTAGE_SECONDS", "25"))

# Runs in the namespace: the web, the crawler, and a switch. Arguments: folder, mode, URLs settled before the outage,
# seconds without network.
PLAY = f"""
import json, subprocess, sys, time
from pathlib import Path
from crawler.testweb.process import start_web
from crawler.testweb.settings import to_toml
from tests.faults.crawlers import Crawler
from tests.live.test_cli import wait_until_settled
folder, mode, before, away = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
switch = lambda state: subprocess.run(["ip", "link", "set", "lo", state], check=True)
switch("up")
with start_web(hosts={HOSTS}, pages={PAGES}, log=folder / "web.log") as web:
    (folder / "web.toml").write_text("first_byte_timeout = 5.0\\nhost_patience = 120.0\\n" + to_toml(web.settings))
    crawler = Crawler(folder, mode, 16, "--delay", "0.2")
    wait_until_settled(folder / "out", before)
    switch("down")
    time.sleep(away)
    looked = subprocess.run([sys.executable, "-m", "crawler", "status", "--json", folder / "out"], capture_output=True)
    switch("up")
    back = time.monotonic()
    summary = crawler.wait(120)
print(json.dumps({{"summary": summary, "looked": json.loads(looked.stdout), "after": time.monotonic() - back}}))
"""


@pytest.mark.parametrize("mode", MODES)
def test_a_crawl_survives_a_network_outage(tmp_path: Path, mode: str) -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-n", "ip", "link"], capture_output=True).returncode:
        pytest.skip("a network of its own needs root and unshare")
    command = ["unshare", "-n", sys.executable, "-c", PLAY, str(tmp_path), mode, "200", str(AWAY)]
    played = subprocess.run(command, capture_output=True, text=True, timeout=AWAY + 180)
    assert played.returncode == 0, played.stderr
    answer = json.loads(played.stdout)
    summary = answer["summary"]
    print(mode, {key: summary[key] for key in ("reasons", "retries", "pauses")}, answer["after"])
    assert (summary["owed"], summary["digest"]) == (0, crawl_digest(expected(Web(hosts=HOSTS, pages=PAGES))))
    assert summary["pauses"]["outage"] >= 1
    assert not answer["looked"]["complete"], "the crawl ended during the outage"
