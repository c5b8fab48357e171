"""Starts real HTTP servers and proxies on loopback, each as a process with its configuration in a folder of its own.

A server that is not installed skips the test, with the command that installs it. A process is ended by its own id.
Started by root, those that are no Python run as "nobody".
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATHS = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
NAME = "site.test"
PAGES = 10
"""Pages of each kind."""

CHANGED = 1_600_000_000
"""When each page was changed: in the past, so that no server holds its validators for uncertain."""

LOGIN = "someone:pass-word"
START_S = 10.0
ATTEMPTS = 3
"""A free port may be taken by someone else before the server binds it."""


class Place(NamedTuple):
    """What a configuration is made from. `site`: the folder with the pages. `tls`: "", "1.2" or "1.3". `certificate`:
    a PEM file with the key and the chain. `backend`: the port of another server, for those that need one."""

    folder: Path
    site: Path
    port: int
    tls: str = ""
    certificate: Path = Path()
    backend: int = 0
    login: str = ""

    def write(self, name: str, text: str) -> str:
        """Write a file of the configuration; its path."""
        file = self.folder / name
        file.write_text(textwrap.dedent(text))
        return str(file)


class Command(NamedTuple):
    """How to start a server."""

    arguments: list[str]
    environment: tuple[tuple[str, str], ...] = ()
    own_user: bool = True
    """Whether it runs as the user of the tests, also where that is root."""

    patience: float = 3.0
    """Seconds that it may take to end."""


class Server(NamedTuple):
    """A server. `kinds`: which kinds of pages it has. `sees_peers`: whether it tells which connection a request came
    by. `keeps`: whether it keeps connections. `secure`: whether it has
    https. `log`: the file in its folder with the client's port and the query of each request, where it sends no
    X-Peer."""

    name: str
    command: Callable[[Place], Command]
    kinds: tuple[str, ...] = ("plain", "chunked", "gzip", "etag", "date", "close", "missing")
    sees_peers: bool = True
    keeps: bool = True
    secure: bool = True
    backend: Server | None = None
    log: str = ""


class Running(NamedTuple):
    """A server that accepts connections."""

    server: Server
    place: Place
    pid: int

    @property
    def origin(self) -> str:
        """The start of its URLs."""
        return f"{'https' if self.place.tls else 'http'}://{NAME}:{self.place.port}"

    def logged(self, mark: str, lines: int) -> list[str]:
        """The ports in the lines of its log with a mark, once it has so many of them: SIGHUP makes it write them."""
        file = self.place.folder / self.server.log
        give_up_at = monotonic() + 5
        while True:
            os.kill(self.pid, signal.SIGHUP)
            found = [line for line in file.read_text().splitlines() if mark in line]
            if len(found) >= lines or monotonic() > give_up_at:
                return [line.split()[0] for line in found]
            sleep(0.02)


# ---- pages -----------------------------------------------------------------------------------------------------------

PLAIN_SIZES = (0, 1, 99, 4096, 16_383, 16_384, 16_385, 70_000, 200_000, 700_000)


def path_of(kind: str, number: int) -> str:
    """The path of a page; revalidated are the plain ones."""
    folder = "plain" if kind in ("etag", "date") else kind
    return f"/{folder}/{number % PAGES}.{'bin' if folder == 'plain' else 'html'}"


def write_pages(site: Path) -> None:
    """Write the pages of all kinds; below cgi/ the chunked ones with a head."""
    numbers = random.Random(5)
    for number in range(PAGES):
        _write(site, path_of("plain", number), numbers.randbytes(PLAIN_SIZES[number]))
        for kind, size in (("chunked", 20_000 + 17_000 * number), ("gzip", 1_000 + 9_000 * number), ("close", 900)):
            body = b"".join(b"<p>line %d of %d</p>\n" % (numbers.randrange(size), line) for line in range(size // 20))
            _write(site, path_of(kind, number), body)
            if kind == "chunked":
                _write(site, "/cgi" + path_of(kind, number), b"Content-Type: text/html\r\n\r\n" + body)
    for number in range(PAGES):
        _write(site, path_of("open", number), b"<p>open end</p>" * 5_000 * number)


def _write(site: Path, path: str, body: bytes) -> None:
    file = site / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
    os.utime(file, (CHANGED, CHANGED))


# ---- processes -------------------------------------------------------------------------------------------------------


def find(name: str, install: str) -> str:
    """The path of a program. Skips the test where there is none."""
    path = shutil.which(name, path=PATHS)
    if path is None:
        pytest.skip(f"{name} is not installed: {install}")
    return path


def need_package(name: str) -> None:
    """Skips the test without a package of Python."""
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install {name}")


@contextmanager
def folder_for_servers() -> Iterator[Path]:
    """A new folder that other users may enter."""
    with tempfile.TemporaryDirectory(prefix="servers-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def running(server: Server, place: Place) -> Iterator[Running]:
    """Start a server in a new folder below the one of `place`, at a free port, and end it."""
    with ExitStack() as stack:
        if server.backend is not None:
            behind = stack.enter_context(running(server.backend, place._replace(tls="")))
            place = place._replace(backend=behind.place.port)
        for attempt in range(1, ATTEMPTS + 1):
            here = place._replace(folder=Path(tempfile.mkdtemp(dir=place.folder)), port=free_port())
            command = server.command(here)
            process = stack.enter_context(_process(command, here.folder))
            if _accepts(process, here.port):
                yield Running(server, here, process.pid)
                return
            if attempt == ATTEMPTS or process.poll() is None:
                told = (here.folder / "output").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{server.name} does not start ({process.poll()}): {told}")


def free_port() -> int:
    """A port of loopback that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def _process(command: Command, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    user: int | None = None
    if os.geteuid() == 0 and not command.own_user:
        user = pwd.getpwnam("nobody").pw_uid
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, -1)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            command.arguments,
            cwd=ROOT if command.own_user else folder,
            env={**os.environ, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **dict(command.environment)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            extra_groups=None if user is None else [],
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(command.patience)
        process.kill()
        process.wait()


def _accepts(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait for the port of a server to accept a connection; False where its process has ended before, or is late."""
    give_up_at = monotonic() + START_S
    while process.poll() is None and monotonic() < give_up_at:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return process.poll() is None
        sleep(0.01)
    return False
