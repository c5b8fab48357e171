"""Jobs that crawl again: real runs of a site that changes, with a service and processes that are killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

import pytest

from crawler.cli.service_client import ServiceClient, connect
from crawler.errors import CrawlerError
from crawler.service import diff_reader
from crawler.service.config import OnEndOfAll
from crawler.service.core.states import FINAL, RunState
from crawler.service.errors import Conflict, NotFound
from crawler.service.records import JobSpec
from crawler.service.routing import API
from crawler.storage.diff import diff
from crawler.storage.directory import CrawlDirectory
from crawler.storage.generations import folder_of, generations
from tests.contract.changing_site import ChangingSite, changing_site, page
from tests.contract.webs import crawl
from tests.service.open_service import ended, pages_of, serving
from tests.service.open_service import until as until_true
from tests.service.person import Outline, Person
from tests.service.served import Answer, Served

PATIENCE = 120.0
PAGES = 8
FAST = {"delay": 0, "per_host": 4, "mode": "async", "report": False}

pytestmark = pytest.mark.slow


@pytest.fixture
def site() -> Iterator[ChangingSite]:
    links = [f"/{number}" for number in range(PAGES)]
    pages = {link: page(f"page {link}") for link in links}
    with changing_site({"/": page("home", *links), **pages}) as served:
        yield served


def until(find: Callable[[], Any]) -> Any:
    """Wait until something is there."""
    give_up_at = monotonic() + PATIENCE
    while not (found := find()):
        assert monotonic() < give_up_at, "it did not happen"
        sleep(0.02)
    return found


class ServiceProcess:
    """`crawler serve` in a process of its own."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> ServiceClient:
        """Start it, and wait until it is ready."""
        command = [sys.executable, "-m", "crawler", "serve", "--data", str(self._data), "--listen", "127.0.0.1:0"]
        with (self._data / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        client: ServiceClient = until(self._ready)
        return client

    def _ready(self) -> ServiceClient | None:
        try:
            client = connect(str(self._data), None, None)
            client.ask("GET", "/overview")
        except CrawlerError:
            return None
        return client

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def children(self) -> list[int]:
        """The processes of its runs."""
        assert self._process is not None
        return [
            int(one) for one in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        ]


@contextmanager
def serve_process(data: Path) -> Iterator[ServiceProcess]:
    data.mkdir()
    service = ServiceProcess(data)
    try:
        yield service
    finally:
        service.kill()


def edit(site: ChangingSite, number: int) -> None:
    """Change some pages, remove one that is still linked, add one."""
    site.pages[f"/{number}"] = page(f"edited in {number}")
    site.pages[f"/{number + 3}"] = 404
    links = [f"/{link}" for link in (*range(PAGES), *(f"added{one}" for one in range(1, number + 1)))]
    site.pages["/"] = page("home", *links)
    site.pages[f"/added{number}"] = page(f"added in {number}")


def fresh_digest(site: ChangingSite, folder: Path) -> str:
    """The digest of a first crawl of the site as it is now."""
    from crawler.settings import merge_layers

    return crawl(folder, merge_layers({"seeds": [site.url], **FAST})).digest


def test_three_runs_make_three_generations_whatever_is_killed(site: ChangingSite, tmp_path: Path) -> None:
    digests = [fresh_digest(site, tmp_path / "fresh0")]
    with serve_process(tmp_path / "data") as service:
        client = service.start()
        client.ask("POST", "/jobs", {"name": "nightly", "settings": {"seeds": [site.url], **FAST}, "recrawl": True})
        first = over(client, client.ask("POST", "/jobs/nightly/runs")["id"])

        edit(site, 1)
        digests.append(fresh_digest(site, tmp_path / "fresh1"))
        let_go, held = threading.Event(), site.pages["/7"]
        assert isinstance(held, bytes)
        site.pages["/7"] = lambda: held if let_go.wait(PATIENCE) else b""
        second = client.ask("POST", "/jobs/nightly/runs")["id"]
        root = tmp_path / "data" / first["directory"]
        until(lambda: settled(root, 1) >= PAGES)
        for child in service.children():
            os.kill(child, signal.SIGKILL)
        until(lambda: client.ask("GET", f"/runs/{second}")["starts"] == 2)
        until(lambda: client.ask("GET", f"/runs/{second}")["state"] == "running")
        service.kill()
        let_go.set()
        site.pages["/7"] = held
        client = service.start()
        again = over(client, second)
        assert (again["generation"], again["directory"]) == (1, first["directory"])
        assert again["starts"] >= 3

        edit(site, 2)
        digests.append(fresh_digest(site, tmp_path / "fresh2"))
        third = over(client, client.ask("POST", "/jobs/nightly/runs")["id"])

    assert generations(root) == [0, 1, 2]
    assert [run["generation"] for run in (first, again, third)] == [0, 1, 2]
    assert [run["summary"]["digest"] for run in (first, again, third)] == digests
    assert [CrawlDirectory.open_readonly(folder_of(root, number)).tally().digest for number in range(3)] == digests
    for newer in (1, 2):
        found = diff(root, newer=newer)
        assert found.new == [site.at(f"/added{newer}")]
        assert [one.url for one in found.gone] == [site.at(f"/{newer + 3}")]
        assert {one.url for one in found.changed} == {site.url, site.at(f"/{newer}")}


def settled(root: Path, number: int) -> int:
    """How many URLs a generation has settled."""
    folder = folder_of(root, number)
    return CrawlDirectory.open_readonly(folder).tally().settled if CrawlDirectory.exists(folder) else 0


def over(client: ServiceClient, run: str) -> Any:
    """A run that has ended well."""
    found = until(lambda: told if (told := client.ask("GET", f"/runs/{run}"))["state"] in FINAL else None)
    assert found["state"] == "succeeded", found
    return found


async def test_a_run_has_the_settings_of_its_job_alone_and_old_generations_are_dropped(
    site: ChangingSite, tmp_path: Path
) -> None:
    settings = {"seeds": [site.url], **FAST}
    async with serving(tmp_path, keep_runs=2) as service:
        job = await service.add_job(JobSpec(name="nightly", settings={"max_pages": 3, **settings}, recrawl=True))
        first = await ended(service, await service.start(job.id))
        assert (first.state, first.generation) == (RunState.LIMITED, 0)
        await service.change_job(job.id, {"settings": {"max_pages": None}})
        second = await ended(service, await service.start(job.id))
        assert second.summary is not None and second.generation == 1
        assert second.summary["pages"] == PAGES + 1, "the limit of the run before was kept"
        with pytest.raises(Conflict, match="generation 1 follows"):
            await service.retry(first.id)
        third = await ended(service, await service.start(job.id))
        assert generations(tmp_path / third.directory) == [1, 2]
        while not (await service.run(first.id)).removed:
            await service.storage()
        with pytest.raises(NotFound):
            service.directory(first.id)
        assert service.directory(third.id).name == "2"
        other = await ended(service, await service.start(job.id, settings={"seeds": [site.at("/3")]}))
        assert (other.directory != third.directory, other.generation) == (True, 0)
        last = await ended(service, await service.start(job.id))
        assert (last.directory, last.generation) == (first.directory, 3)


async def test_runs_of_a_job_wait_for_each_other_and_one_that_was_cancelled_is_continued(
    site: ChangingSite, tmp_path: Path
) -> None:
    let_go = threading.Event()
    async with serving(tmp_path, max_running=4) as service:
        spec = JobSpec(name="nightly", settings={"seeds": [site.url], **FAST}, recrawl=True)
        job = await service.add_job(spec)
        await ended(service, await service.start(job.id))
        site.pages["/7"] = lambda: page("late") if let_go.wait(PATIENCE) else b""
        first = await service.start(job.id)
        await pages_of(service, first, PAGES)
        second = await service.start(job.id)
        with pytest.raises(Conflict, match="has not begun"):
            service.directory(second.id)
        assert (await service.run(second.id)).state is RunState.QUEUED
        await service.cancel(first.id, force=True)
        cancelled = await ended(service, first)
        let_go.set()
        done = await ended(service, second)
        assert (cancelled.state, done.state) == (RunState.CANCELLED, RunState.SUCCEEDED)
        assert (cancelled.generation, done.generation) == (1, 1)
        assert generations(tmp_path / done.directory) == [0, 1]


def is_told(path: Path, run: str) -> bool:
    return path.exists() and run in path.read_text()


async def test_who_is_told_of_an_end_is_told_what_changed(site: ChangingSite, tmp_path: Path) -> None:
    told = tmp_path / "told.jsonl"
    script = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')"
    command = (sys.executable, "-c", script, str(told))
    async with serving(tmp_path / "data", on_end=OnEndOfAll(command=command)) as service:
        job = await service.add_job(JobSpec(name="nightly", settings={"seeds": [site.url], **FAST}, recrawl=True))
        for number in (1, 2):
            run = await ended(service, await service.start(job.id))
            await until_true(partial(is_told, told, run.id))
            edit(site, number)
    first, second = (json.loads(line) for line in told.read_text().splitlines())
    assert first["diff"] is None
    assert (second["id"], second["generation"]) == (run.id, 1)
    assert second["diff"]["counts"]["new"] == 1 and second["diff"]["new"] == [site.at("/added1")]


def test_the_changes_of_a_run_are_told_by_the_api(
    served: Served, site: ChangingSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(query: str = "") -> Any:
        begun = served.ask("POST", f"{API}/jobs/nightly/runs").json
        return served.until(f"{API}/runs/{begun['id']}", lambda now: now["state"] in FINAL)

    def diff_of(run: Any, query: str = "") -> Answer:
        return served.ask("GET", f"{API}/runs/{run['id']}/diff{query}", as_="read")

    spec = {"name": "nightly", "settings": {"seeds": [site.url], **FAST}, "recrawl": True}
    assert served.ask("POST", f"{API}/jobs", spec).status == 201
    first = run()
    refused = diff_of(first)
    assert (refused.status, refused.json["state"]) == (409, "nothing_to_compare")
    edit(site, 1)
    second = run()
    found = diff_of(second).json
    assert (found["from"], found["to"], found["complete"]) == (0, 1, True)
    assert found["counts"] == {"new": 1, "gone": 1, "changed": 2, "moved": 0, "uncertain": 0, "unchanged": PAGES - 2}
    assert found["new"] == [site.at("/added1")]
    assert found["gone"] == [{"url": site.at("/4"), "why": "404"}]
    assert diff_of(second, "?limit=1").json["changed"] == found["changed"][:1]
    text = diff_of(second, f"?text={quote(site.at('/1'))}")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    lines = text.body.decode().splitlines()
    assert lines[:2] == ["--- generation 0", "+++ generation 1"] and "+edited in 1." in lines
    assert diff_of(second, f"?text={quote(site.at('/nowhere'))}").status == 404
    assert diff_of(second, "?limit=0").status == 422
    monkeypatch.setattr(diff_reader, "PATIENCE", -1.0)
    assert diff_of(second).status == 503
    assert diff_of({"id": "run_000000000000"}).status == 404


def test_the_dashboard_shows_generations_and_what_changed(served: Served, site: ChangingSite) -> None:
    person = Person(served)
    spec = {"name": "shown", "settings": {"seeds": [site.url], **FAST}, "recrawl": True}
    job = served.ask("POST", f"{API}/jobs", spec).json["id"]
    assert "The first run makes generation 0" in person.text(f"/jobs/{job}")
    for number in range(2):
        begun = served.ask("POST", f"{API}/jobs/shown/runs").json["id"]
        run = served.until(f"{API}/runs/{begun}", lambda now: now["state"] in FINAL)
        if not number:
            assert "has made the first generation" in person.text(f"/runs/{begun}/diff")
            edit(site, 1)

    def generation() -> Any:
        row = re.search(
            rf'<tr id="generation-{begun}">.*?</tr>', person.text(f"/jobs/{job}?fragment=generations"), re.DOTALL
        )
        assert row
        told = dict(re.findall(r'data-is="(\w+)">(\d[\d,]*)<', row[0]))
        return told if "new" in told else None

    counts = {"new": "1", "gone": "1", "changed": "2", "moved": "0", "unchanged": str(PAGES - 2)}
    assert until(generation) == {"pages": str(run["summary"]["pages"]), **counts}
    text = until(lambda: found if "<h2>Gone (1)</h2>" in (found := person.text(f"/runs/{begun}/diff")) else None)
    link = f"?text={quote(site.at('/1'), safe='')}"
    assert f'<a href="{link}">' in text and "404: not found" in text
    shown = person.text(f"/runs/{begun}/diff{link}")
    assert '<span class="added">+edited in 1.' in shown
    assert "and 1 run before it" in person.text("/storage")
    assert "there is no page" in person.text(f"/runs/{begun}/diff?text=x")
    for page_of in (text, shown, person.text(f"/jobs/{job}")):
        outline = Outline(page_of)
        assert (outline.wrong, outline.open, outline.inline) == ([], [], [])
