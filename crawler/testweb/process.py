"""A web in its own process: it outlives crawls, ends with the process that started it, and serves at full speed.

The child ends at end of file on its standard input. The kernel closes that pipe however the parent ends, on every
platform and whatever thread started the child, which a parent-death signal does not guarantee.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from crawler.errors import CrawlerError
from crawler.system.file_limits import ensure_fd_limit
from crawler.testweb.certificates import server_context, write_certificates
from crawler.testweb.choice import Choice
from crawler.testweb.document import AnyWeb
from crawler.testweb.server import WebServer
from crawler.testweb.settings import Listening, WebSettings, settings_for


class StartedWeb(NamedTuple):
    """A serving child process, and the settings a crawler needs. Leaving the `with` block ends it."""

    process: subprocess.Popen[bytes]
    settings: WebSettings

    def close(self) -> None:
        """Make the server flush its log and end; wait for it."""
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
    *, port: int = 0, log: Path | None = None, processes: int = 1, authority: Path | None = None, **choice: Any
) -> StartedWeb:
    """Start a server of `processes` processes and wait until it listens. Raises CrawlerError.

    `choice` are the fields of `Choice`. With `authority` the web is https, and the certificate to trust is written to
    that file.
    """
    chosen = Choice(tls=authority is not None, **choice)
    told = [f"--port={port}", f"--processes={processes}", *chosen.arguments()]
    told += [f"--log={log}"] if log else []
    told += [f"--tls={authority.resolve()}"] if authority else []
    return _await(_spawn(told))


async def serve(
    choice: Choice,
    *,
    port: int,
    log: Path | None,
    until_eof: bool,
    listening: Callable[[Listening], None],
    processes: int = 1,
    authority: Path | None = None,
    share: Share | None = None,
) -> None:
    """Serve until a signal or end of standard input; calls `listening` once it listens. Raises OSError, UsageError.

    The certificate to trust is written to `authority`, an absolute path. This is the first of `processes`, unless it
    has a `share` in the work of another.
    """
    loop, ended, web = asyncio.get_running_loop(), asyncio.Event(), choice.make()
    ensure_fd_limit(len(web.names))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with AsyncExitStack() as stack:
        share = share or Share(0, processes, _certified(web, authority, stack))
        tls = server_context(share.certificate) if share.certificate else None
        server = WebServer(web, port=port, log=log, part=share.part, parts=share.parts, tls=tls)
        await stack.enter_async_context(server)
        if share.part == 0:
            others = [_spawn(_told(choice, server.port, log, other)) for other in share.others()]
            for process in others:
                stack.enter_context(_await(process))
        if until_eof:
            await loop.connect_read_pipe(lambda: _UntilEof(ended), sys.stdin)
        settings = settings_for(web, server.port, str(authority or ""))
        listening(Listening(pid=os.getpid(), port=server.port, settings=settings))
        await ended.wait()


class Share(NamedTuple):
    """The share of one of several processes that serve a web, and its certificate, if any."""

    part: int
    parts: int
    certificate: Path | None

    def others(self) -> list[Share]:
        """The shares of all other processes."""
        return [self._replace(part=part) for part in range(self.parts) if part != self.part]


def _certified(web: AnyWeb, authority: Path | None, stack: AsyncExitStack) -> Path | None:
    """The servers' certificate, in a folder that is removed when they end."""
    if authority is None:
        return None
    certificate = Path(stack.enter_context(TemporaryDirectory(prefix="testweb-"))) / "server.pem"
    write_certificates(web.names, authority, certificate)
    return certificate


def _told(choice: Choice, port: int, log: Path | None, share: Share) -> list[str]:
    """The options of a further process."""
    told = [f"--port={port}", f"--share={share.part}/{share.parts}", *choice.arguments()]
    told += [f"--log={log}"] if log else []
    told += [f"--certificate={share.certificate}"] if share.certificate else []
    return told


def _spawn(told: list[str]) -> subprocess.Popen[bytes]:
    """A child that serves until our end of its standard input is closed."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    # its own session: Ctrl-C in the crawler's terminal must not end the web while the crawler drains
    return subprocess.Popen(
        [sys.executable, "-m", "crawler.testweb", "serve", "--until-eof", *told],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,
    )


def _await(process: subprocess.Popen[bytes]) -> StartedWeb:
    """Wait until it listens. Raises CrawlerError."""
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise CrawlerError(f"the test web did not start: it ended with {process.wait()}")
    return StartedWeb(process, msgspec.json.decode(line, type=Listening).settings)


class _UntilEof(asyncio.Protocol):
    """Reads a pipe only to learn of its end."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, error: Exception | None) -> None:
        self._ended.set()
