"""A web in a process of its own: it outlives crawls, dies with whoever started it, and serves as fast as it can.

The child ends when its standard input does. The kernel closes that pipe however the parent dies, on every platform and
from whichever thread it was started, which a parent-death signal does not promise.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from crawler.descriptors import provide
from crawler.errors import CrawlerError
from crawler.testweb.document import AnyWeb
from crawler.testweb.flat import SIZE
from crawler.testweb.server import WebServer
from crawler.testweb.settings import Listening, WebSettings


class StartedWeb(NamedTuple):
    """A child process that serves, and what a crawler must be told. Leaving the `with` block ends it."""

    process: subprocess.Popen[bytes]
    settings: WebSettings

    def close(self) -> None:
        """Let the server flush its log and end, and wait for it."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def start_web(
    *,
    seed: int = 1,
    hosts: int = 40,
    pages: int = 2000,
    port: int = 0,
    log: Path | None = None,
    flat: int | None = None,
    latency: float = 0.0,
    size: int = SIZE,
    errors: float = 0.0,
) -> StartedWeb:
    """Start a server and wait until it listens. Raises CrawlerError.

    For a flat web: `latency` in seconds, `size` of a page in bytes, `errors` the share of pages that fail once.
    """
    command = [sys.executable, "-m", "crawler.testweb", "serve", "--until-eof", f"--port={port}"]
    if log:
        command.append(f"--log={log}")
    if flat is None:
        command += [f"--seed={seed}", f"--hosts={hosts}", f"--pages={pages}"]
    else:
        command += [f"--flat={flat}", f"--latency={latency * 1000}", f"--size={size}", f"--errors={errors}"]
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    # a session of its own: an interrupt typed at the crawler must not end the web while the crawler drains
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,
    )
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise CrawlerError(f"the test web did not start: `{' '.join(command[1:])}` ended with {process.wait()}")
    return StartedWeb(process, msgspec.json.decode(line, type=Listening).settings)


async def serve(
    web: AnyWeb, *, port: int, log: Path | None, until_eof: bool, listening: Callable[[Listening], None]
) -> None:
    """Serve until a signal, or until standard input ends; `listening` is told once it does. Raises OSError."""
    provide(len(web.names))
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with WebServer(web, port=port, log=log) as server:
        if until_eof:
            await loop.connect_read_pipe(lambda: _UntilEof(ended), sys.stdin)
        listening(Listening(pid=os.getpid(), port=server.port, settings=server.settings))
        await ended.wait()


class _UntilEof(asyncio.Protocol):
    """Reads a pipe only to learn of its end."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, error: Exception | None) -> None:
        self._ended.set()
