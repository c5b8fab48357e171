"""The first hour with the README: its shell commands are run as written, in order, and what they print is checked.

Rules:
- Only addresses and paths differ: the site is one on loopback, and what lies in /etc and /var lies in a folder of the
  test. There is no rest between fetches.
- What takes minutes is begun, and interrupted once it works: that is Ctrl-C as a user would press it.
- A command that is missing in RUN, BEGUN and ELSEWHERE fails the test, and so does one there that the README has lost.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.live.test_examples import Quiet

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
SITE, SERVER = "https://example.org/", "http://localhost:8000/"
CRAWL = "crawls/nightly"
SERVICE = "http://127.0.0.1:8765"

RUN = {
    f"python -m crawler {SITE} --out {CRAWL}": (0, r"complete.*\b6 URLs"),
    f"python -m crawler --profile fast --concurrency 32 --per-host 32 {SERVER}": (0, r"\b6 URLs"),
    "python -m crawler --seeds urls.txt --out crawls/many": (0, r"\b6 URLs"),
    f"python -m crawler {SITE} --sitemaps --out crawls/listed": (0, r"\b6 URLs"),
    f"python -m crawler status {CRAWL}": (0, r"complete"),
    "python -m crawler list": (0, r"nightly[\s\S]*complete|complete[\s\S]*nightly"),
    f"python -m crawler resume {CRAWL} --mode processes": (0, r"complete"),
    f"python -m crawler export {CRAWL} --format csv -o pages.csv": (0, r""),
    f"python -m crawler report {CRAWL}": (0, r"report\.html"),
    f"python -m crawler verify {CRAWL}": (0, r"^fine, complete: 6 URLs"),
    f"python -m crawler repair {CRAWL}": (0, r"^nothing to repair"),
    f"python -m crawler export {CRAWL} --where reason=ok --fields url,title,text -o texts.jsonl": (0, r""),
    f"python -m crawler export {CRAWL} --where 'status>=400' --fields url,status,linked_from --format csv"
    " -o broken.csv": (0, r""),
    f"python -m crawler export {CRAWL} --where content_type=application/pdf --bodies pdfs": (0, r""),
    f"python -m crawler cat {CRAWL} {SITE}about": (0, r"<title>About</title>"),
    "python -m crawler --config /etc/crawler/nightly.toml --out /var/lib/crawler/$(date +%F) --resume --json -q": (
        0,
        r'"ending":\s*"complete"',
    ),
    f"python -m crawler recrawl {CRAWL} --keep 30": (0, r"complete"),
    f"python -m crawler diff {CRAWL}": (0, r"unchanged"),
    "python -m crawler compare advise --latency 80ms --page-cpu 1.2ms --hosts 200 --delay 1": (0, r"prefork"),
}
"""By command as the README has it: its exit code, and what it prints on either stream."""

SERVED = {
    f"python -m crawler job add docs {SITE} --set max_pages=1000": r"added docs \(job_\w+\)",
    "python -m crawler job start docs --wait": r"run_\w+ succeeded",
    f"python -m crawler job add nightly {SITE} --recrawl --set keep_generations=30": r"added nightly \(job_\w+\)",
    "python -m crawler schedule add nightly '15 2 * * *' --zone Europe/Berlin": r"sch_\w+ .*15 2 \* \* \* .*02:15",
    "python -m crawler schedule list": r"sch_\w+ .*15 2 \* \* \* .*Europe/Berlin",
    "python -m crawler job log docs --tail 20": r"",
    f'curl -H "Authorization: Bearer $(cat crawler-data/token)" {SERVICE}/api/v1/runs': r'"state":\s*"succeeded"',
}
"""Commands that speak to `SERVE`, and what they print."""

SERVE = "python -m crawler serve"

FILES = {
    "pages.csv": r"(?m)^http\S+/about,",
    "texts.jsonl": r'"title":\s*"About"',
    "broken.csv": r"(?m)^http\S+/gone,404,.*http",
}
"""What the commands have written, once all have run."""

BEGUN = {
    "python -m crawler compare --preset smoke --lenient": r"trial",
    "python -m crawler compare --preset quick": r"trial",
    "python -m crawler compare --preset standard": r"trial",
    "python -m crawler compare --track all": r"trial",
    "python -m crawler compare --tls --open-loop": r"trial",
    f"python -m crawler compare --url {SITE}": r"trial|pages",
    "python -m crawler compare lessons": r"lesson|of",
    "python -m crawler bench": r"of",
    "python -m crawler testweb serve --log web.log --settings web.toml": r"",
}
"""Commands that take minutes, and what they print while they work."""

ELSEWHERE = {
    "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/python -m crawler": ".ci/run: install and smoke",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest -q -n 4": ".ci/run",
    "python -m crawler compare resume DIR": "test_compare.py",
    "python -m crawler compare report DIR": "test_compare_verify.py",
    "python -m crawler compare verify DIR": "test_compare_verify.py",
    "python -m crawler compare merge A B --out DIR": "tests/contract/test_compare_merge.py",
    "python -m crawler compare lessons --python PATH": "tests/contract/test_lessons.py",
    "python -m pip install -e '.[dev]'": ".ci/run",
    "python -m pytest -q tests/core tests/sim": ".ci/run",
    "ruff check . && ruff format --check . && mypy": ".ci/run",
    "pip install -e '.[cluster]'": "who wants Ray: test_ray.py, where it is installed",
    f"python -m crawler {SITE} --mode ray --shards 4 --out crawls/ray": "test_ray.py, where Ray is installed",
    ".ci/run": "this is it",
}
"""Commands that another test or CI itself runs."""


def commands() -> list[str]:
    """The shell commands of the README, in order, without their comments."""
    fences = re.findall(r"(?ms)^```sh\n(.*?)^```", (ROOT / "README.md").read_text())
    lines = [re.sub(r"\s+# .*$", "", line).strip() for fence in fences for line in fence.splitlines()]
    return [line for line in lines if line]


def test_each_command_of_the_readme_is_tried_once() -> None:
    assert sorted(set(commands())) == sorted({**RUN, **SERVED, **BEGUN, **ELSEWHERE, SERVE: SERVE})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A site of five pages, one of them a PDF, and a broken link."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name in ("about", "news", "contact"):
        (folder / name).write_text(f"<title>{name.title()}</title><p>{name} of this site</p>")
    (folder / "paper.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    linked = ("about", "news", "contact", "paper.pdf", "gone")
    (folder / "index.html").write_text(
        "<title>Home</title>" + "".join(f"<a href='/{name}'>{name}</a>" for name in linked)
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Pages, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class Pages(Quiet):
    """Serves names without an ending as HTML."""

    extensions_map = {"": "text/html", ".html": "text/html", ".pdf": "application/pdf"}  # noqa: RUF012 (of the base)


def localised(command: str, site: str, folder: Path) -> str:
    """A command of the README for the site on loopback, in a folder of the test."""
    here = {SITE: site, SERVER: site, "/etc/crawler/": "", "/var/lib/crawler": "var"}
    for there, path in here.items():
        command = command.replace(there, path)
    return command.replace("python ", f"{sys.executable} ", 1)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "CRAWLER_DELAY": "0", "NO_COLOR": "1"}


@pytest.fixture
def desk(tmp_path: Path, site: str) -> Path:
    """A folder to work in, with the files that the README speaks of."""
    desk = tmp_path / "desk"
    (desk / "var").mkdir(parents=True)
    (desk / "urls.txt").write_text(f"{site}\n")
    (desk / "nightly.toml").write_text(f'seeds = ["{site}"]\n')
    return desk


def test_the_commands_do_what_the_readme_says(site: str, desk: Path) -> None:
    for command in commands():
        if command not in RUN:
            continue
        code, printed = RUN[command]
        done = subprocess.run(
            localised(command, site, desk),
            shell=True,
            cwd=desk,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        told = done.stdout + done.stderr
        assert done.returncode == code and re.search(printed, told), f"{command}\n{done.returncode}\n{told}"
    for name, content in FILES.items():
        assert re.search(content, (desk / name).read_text()), name
    assert [path.read_bytes()[:4] for path in (desk / "pdfs").rglob("*") if path.is_file()] == [b"%PDF"]


@pytest.mark.parametrize("command", BEGUN)
def test_what_takes_minutes_begins_and_ends_with_ctrl_c(command: str, site: str, desk: Path) -> None:
    process = subprocess.Popen(
        f"exec {localised(command, site, desk)}",
        shell=True,
        cwd=desk,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if re.search(BEGUN[command], line):
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 130), said + rest
    assert "Traceback" not in said + rest


def test_the_service_does_what_the_readme_says(site: str, desk: Path) -> None:
    process = subprocess.Popen(
        f"exec {localised(SERVE, site, desk)} --listen 127.0.0.1:0 --json",
        shell=True,
        cwd=desk,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        served = json.loads(process.stdout.readline())
        for command, printed in SERVED.items():
            here = localised(command, site, desk).replace(SERVICE, served["url"].rstrip("/"))
            done = subprocess.run(
                here,
                shell=True,
                cwd=desk,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            told = done.stdout + done.stderr
            assert done.returncode == 0 and re.search(printed, told), f"{command}\n{done.returncode}\n{told}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
