"""The programs in tests/examples run as they stand, with this Python and with the newest other that can run them."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "tests" / "examples"
OTHER = "EXAMPLES_PYTHON"
"""The environment variable with another Python that has what the crawler needs."""
NEWEST = 20
PAGES = 12


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Be silent."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A site with an index, PAGES pages of which the last is the largest, a deep page, a link that is broken, and a
    sitemap that names two of these."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "deep" / "er").mkdir(parents=True)
    names = [f"page{number}" for number in range(PAGES)]
    for number, name in enumerate(names):
        (folder / f"{name}.html").write_text(f"<title>{name}</title>" + "word " * number)
    (folder / "deep" / "er" / "one.html").write_text("<p>needle</p>")
    links = [*(f"{name}.html" for name in names), "deep/er/one.html", "gone.html", "page1.html?sort=1"]
    (folder / "index.html").write_text("".join(f"<a href='/{link}'>{link}</a>" for link in links))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    url = f"http://127.0.0.1:{server.server_port}/"
    listed = "".join(f"<url><loc>{url}{name}</loc></url>" for name in ("page1.html", "gone.html"))
    (folder / "sitemap.xml").write_text(f"<urlset>{listed}</urlset>")
    Thread(target=server.serve_forever, daemon=True).start()
    yield url
    server.shutdown()
    server.server_close()


@cache
def other_python() -> str | None:
    """The newest other Python that can import what the crawler needs."""
    named = [f"python3.{minor}" for minor in range(NEWEST, sys.version_info.minor, -1)]
    for python in filter(None, [os.environ.get(OTHER), *map(shutil.which, named)]):
        needs = "import aiohttp, can_ada, httptools, msgspec, protego, turbohtml, xxhash"
        if not subprocess.run([python, "-c", needs], capture_output=True, check=False).returncode:
            return python
    return None


@pytest.fixture(params=["this", "newest"])
def python(request: pytest.FixtureRequest) -> str:
    if request.param == "this":
        return sys.executable
    return other_python() or pytest.skip(f"no newer Python here has the packages; name one in {OTHER}")


def run(python: str, name: str, *arguments: object, code: int = 0) -> str:
    """The standard output of an example."""
    words = [python, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == code, done.stderr
    return done.stdout


ALL = PAGES + 3
"""URLs with a page: the index, its pages, the deep one, and one of them with a query."""
WANTED = {
    "print_pages": rf"(200 \d+ http\S+\n){{{ALL}}}",
    "broken_links": r"404 http\S+/gone\.html\n",
    "first_match": r"found in \S+/deep/er/one\.html after \d+ URLs\n",
    "count_by_type": rf"{ALL} text/html: \d+ bytes\n",
    "filter_urls": rf"{PAGES + 1} pages, 2 links filtered\n",
    "resume": rf"limit at 5 URLs, \d+ are owed\ncomplete at {ALL + 1} URLs, 0 are owed\n",
    "progress": rf"(\d+ done, .*\n)*{ALL + 1} done, 0 to do, 0 in flight, [\d,]+ bytes \n",
    "threads_callback": rf"{ALL} pages, the largest is \S+/\n",
    "own_database": rf"{ALL} pages\n",
    "write_csv": rf"url,status,content_type,bytes,seconds\n(http\S+,200,text/html,\d+,\d\.\d\d\d\n){{{ALL}}}",
    "compare_modes": rf"async: {ALL + 1} URLs .*digest (\w+)\nthreads: {ALL + 1} URLs .*digest \1\n",
    "polite": r"3 URLs in [1-9]\.\d s\n",
    "is_it_up": r"up: http\S+/\n",
    "check_sitemap": r"1 of the sitemap answered\nmissing: http\S+/gone\.html\n",
    "prefork_names": r"(http\S+\n)+",
}
ARGUMENTS = {"first_match": ["needle"], "print_pages": [], "count_by_type": [], "write_csv": [], "is_it_up": []}


def test_every_example_is_tried_and_linked() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == set(WANTED)
    readme = (ROOT / "README.md").read_text()
    assert [name for name in sorted(names) if f"tests/examples/{name}.py" not in readme] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", WANTED)
def test_an_example_does_what_it_says(python: str, site: str, tmp_path: Path, name: str) -> None:
    where = f"{site}sitemap.xml" if name == "check_sitemap" else site
    arguments = [] if name == "check_sitemap" else ARGUMENTS.get(name, [tmp_path / "out"])
    printed = run(python, name, where, *arguments)
    assert re.fullmatch(WANTED[name], printed), printed


@pytest.mark.slow
def test_a_site_that_is_down_is_told_and_fails(python: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "down: " in run(python, "is_it_up", f"http://127.0.0.1:{port}/", code=1)
