"""A Ray cluster for one crawl: started on this machine, or joined.

Rules:
- `local` listens on loopback only, with a token that nobody else has, without a dashboard.
- Whatever ends this process, nothing of a local cluster is left: variants/ray_watcher.py sees to that.
- Ray reads the environment when it is imported, so it is imported here and not before.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crawler.errors import UsageError, WorkersLost
from crawler.settings import Settings

LEAST_VERSION = (2, 59)
"""Older ones have no token that all parts check: https://docs.ray.io/en/latest/ray-security/token-auth.html"""
OBJECTS = 80 * 1024 * 1024
"""Bytes of the object store: the least that Ray takes. Frames are far smaller."""
MARK = "RAY_SESSION_OF_CRAWL"
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # by default 15: beside any other program a shard would get hardly any CPU
}
PREFIX = "crawler-ray-"


def check_cluster(settings: Settings) -> None:
    """Raises UsageError where a crawl cannot run on Ray as it is configured, before it begins."""
    if find_spec("ray") is None:
        raise UsageError("--mode ray needs the package ray: pip install 'crawler-engines[ray]'")
    found = tuple(int(part) for part in re.findall(r"\d+", version("ray"))[:2])
    if found < LEAST_VERSION:
        raise UsageError(f"ray {version('ray')} has known holes; upgrade it: pip install -U 'crawler-engines[ray]'")
    files = settings.frontier == "sqlite" or not settings.store.startswith("s3://")
    if settings.ray_address != "local" and files:
        raise UsageError(
            "a crawl on other machines keeps nothing in files: set --frontier postgresql://... and --store s3://...,"
            " or use --ray-address local"
        )


@contextmanager
def ray_session(address: str, cpus: int) -> Iterator[Any]:
    """Context manager: the module `ray`, connected to a cluster. Raises WorkersLost where that cannot be."""
    os.environ.update(ALWAYS)
    if address != "local":
        with _connected(address=address) as ray:
            yield ray
        return
    folder = tempfile.mkdtemp(prefix=PREFIX, dir="/tmp")  # short: paths of sockets have at most 107 bytes
    os.environ.update(LOOPBACK)
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    watcher = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("ray_watcher.py")), folder, str(os.getpid())],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    os.environ[MARK] = folder
    try:
        with _connected(
            address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=OBJECTS, _temp_dir=folder
        ) as ray:
            yield ray
    finally:
        del os.environ[MARK]
        assert watcher.stdin is not None
        watcher.stdin.close()
        watcher.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _connected(**options: Any) -> Iterator[Any]:
    import ray
    from ray._private import worker

    worker.print_to_stdstream = lambda *what, **how: None  # stdout is for the summary; the arbiter tells of deaths
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        words = " ".join(str(error).split())[:300]
        raise WorkersLost(f"the Ray cluster cannot be reached ({words}); see to --ray-address, then resume") from error
    if in_main and handler is not None:
        signal.signal(signal.SIGTERM, handler)  # that of Ray would end this process before it has drained
    try:
        yield ray
    finally:
        ray.shutdown()
