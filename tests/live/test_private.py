"""Files of a crawl are readable by their owner only: they may hold cookies, and pages behind a login."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import crawler
import variants
from tests.contract.raw_server import RawServer, response


@pytest.fixture
def lenient() -> Iterator[None]:
    """The usual umask, under which all users may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> dict[str, str]:
    """The paths that other users can access, with their modes: files in folders that they may enter, and these
    folders."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        reachable = all(part.stat().st_mode & 0o011 for part in path.parents if folder in (part, *part.parents))
        if reachable and path.stat().st_mode & 0o077:
            found[str(path.relative_to(folder))] = stat.filemode(path.stat().st_mode)
    return found


CASES = [(mode, store) for mode in variants.names() for store in ("sqlite", "files")]
QUICK = {("async", "sqlite"), ("prefork", "files")}


@pytest.mark.parametrize(
    ("mode", "store"), [pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow) for case in CASES]
)
@pytest.mark.usefixtures("lenient")
def test_other_users_cannot_read_cookies_or_pages(mode: str, store: str, tmp_path: Path) -> None:
    with RawServer(
        lambda path: [response(b"<p>secret", "Set-Cookie: session=secret", "Content-Type: text/html")]
    ) as web:
        for out in (tmp_path / "new", tmp_path / "mine"):
            if out.name == "mine":
                out.mkdir(0o755)
            keys = {"mode": mode, "store": store, "processes": 2}
            crawler.crawl(web.url, out=out, cookies=True, delay=0.0, robots=False, **keys)  # type: ignore[arg-type]
            secret = [path for path in out.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
            assert secret, "no file holds the secret, so the test shows nothing"
    assert open_to_others(tmp_path / "new") == {}
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o755, "the mode of an existing directory was changed"
    accessible = open_to_others(tmp_path / "mine")
    assert set(accessible) <= {".", "crawl.json", "lock", "report.html"}, accessible
    for name in (path for path in (tmp_path / "mine").rglob("*.sqlite*")):
        assert name.stat().st_mode & 0o077 == 0, name
