"""A PostgreSQL server on loopback for tests: a process with its data in a folder of its own.

It is looked for on PATH and where Debian and Red Hat put it; without one the test is skipped, with the reason.
Started by root it runs as another user, since PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import pytest

FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")
USERS = ("postgres", "nobody")
START_S = 30.0
LOGIN = "crawler"
PASSWORD = "pass: word/@%"
VARIABLE = "TEST_DATABASE_PASSWORD"
QUICK = ("fsync=off", "full_page_writes=off", "unix_socket_directories=", "log_min_messages=fatal", "max_wal_size=64MB")
"""Settings of a server that may lose everything with its machine, which a test does not take away."""


def program(name: str) -> str:
    """The path of a program of PostgreSQL. Skips the test where there is none."""
    root = Path("/")
    folders = [str(path) for pattern in FOLDERS for path in sorted(root.glob(pattern.removeprefix("/")), reverse=True)]
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *folders)))
    if found is None:
        pytest.skip("PostgreSQL was not found: apt-get install postgresql")
    return found


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class DatabaseServer:
    """A server that can be killed and started again. Its password is in the environment variable VARIABLE."""

    def __init__(self) -> None:
        postgres, initdb = program("postgres"), program("initdb")
        self._user = _other_user()
        self._folder = Path(tempfile.mkdtemp(prefix="crawler-database-"))
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if self._user is not None:
            for path in (self._folder, secret):
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        self.port = free_port()
        told = ["--no-sync", "--auth=scram-sha-256", f"--username={LOGIN}", f"--pwfile={secret}", "--encoding=UTF8"]
        self._run([initdb, *told, "--locale=C", f"--pgdata={self._folder / 'data'}"])
        settings = [word for setting in QUICK for word in ("-c", setting)]
        where = ["-D", str(self._folder / "data"), "-h", "127.0.0.1", "-p", str(self.port)]
        self._command = [postgres, *where, *settings]
        os.environ[VARIABLE] = PASSWORD
        self.start()

    @property
    def url(self) -> str:
        """Its database as the key `frontier`."""
        return f"postgresql://{LOGIN}@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """Its first process, above all others."""
        return self._process.pid

    @property
    def password(self) -> str:
        """The key `frontier_password`."""
        return f"env:{VARIABLE}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        import psycopg

        self._process = self._popen(self._command)
        until = monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url, password=PASSWORD, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or monotonic() > until:
                    raise
                sleep(0.05)

    def kill(self) -> None:
        """End it at once, with all its connections, as a crash does. What was committed is there at the next start."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def close(self) -> None:
        """End it and remove its data."""
        with suppress(ProcessLookupError):
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        log = (self._folder / "log").open("ab")
        with log:
            if self._user is None:
                return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder)
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._user.pw_uid,
                group=self._user.pw_gid,
                extra_groups=[],
            )

    def _run(self, command: list[str]) -> None:
        if self._popen(command).wait():
            pytest.skip(f"PostgreSQL cannot be set up here: {(self._folder / 'log').read_text()[-300:]}")


def _other_user() -> pwd.struct_passwd | None:
    """Who it runs as if we are root; None: as we do."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.skip("PostgreSQL does not run as root, and there is no other user")
