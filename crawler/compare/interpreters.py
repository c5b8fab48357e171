"""The interpreters that run the arms: which one each is, and whether it can run the crawler.

Rules, and why:
- An interpreter runs the code of this tree (PYTHONPATH) with packages of its own. What it lacks is found before the
  first trial: otherwise every trial of its arms would be void.
- The event loop is required only of arms that run on it, a client only of arms that use it: so a build for which one of
  them has no wheel can take part without it.
- Version, build, GIL and packages of each are part of the environment of a session. A resumption with another one is
  refused.
"""

from __future__ import annotations

import platform
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from crawler.compare import workload
from crawler.compare.records import Arm
from crawler.errors import UsageError
from crawler.fetch import EXTRA

NEEDED = (
    "aiofiles",
    "aiohttp",
    "aiohappyeyeballs",
    "yarl",
    "certifi",
    "turbohtml",
    "can_ada",
    "protego",
    "publicsuffixlist",
    "msgspec",
    "xxhash",
    "brotli",
    "idna",
    "click",
    "rich",
    "structlog",
    "httptools",
)
"""The packages that any crawl needs; each is imported by its own name."""
ZSTD, WITH_ZSTD = "backports.zstd", (3, 14)
"""What Pythons before that version need for zstd."""
PATIENCE = 60.0


class Interpreter(msgspec.Struct, frozen=True):
    """The answer of crawler/compare/probe.py. `missing` and `versions` are of the packages that it was asked for."""

    implementation: str
    version: str
    build: str
    free_threaded: bool
    gil: bool
    recent: bool
    missing: list[str]
    versions: dict[str, str]

    @property
    def name(self) -> str:
        """Its version; "t" marks a free-threaded build, as in the names of its wheels."""
        return self.version + "t" * self.free_threaded

    @property
    def facts(self) -> str:
        """Everything that may change speed, on one line."""
        build = f"{self.implementation} {self.build}, {'free-threaded, ' * self.free_threaded}GIL {self.gil_is}"
        return ", ".join([build, *(f"{name} {version}" for name, version in sorted(self.versions.items()) if version)])

    @property
    def gil_is(self) -> str:
        """Whether the GIL is "on" or "off"."""
        return "on" if self.gil else "off"


def this_version() -> str:
    """The name of the interpreter that runs this."""
    return platform.python_version() + "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def located(path: str) -> str:
    """The absolute path of an interpreter, searched for as a shell does. A link is kept: that of a virtual environment
    leads to its packages. Raises UsageError."""
    found = shutil.which(path)
    if found is None:
        raise UsageError(f"--python {path}: there is no such program")
    return str(Path(found).absolute())


def ask(path: str, packages: Sequence[str]) -> Interpreter:
    """What an interpreter says of itself. Raises UsageError where it cannot be run or is too old."""
    source = Path(__file__).with_name("probe.py").read_text(encoding="utf-8")
    try:
        told = subprocess.run(
            [path, "-c", source, *packages],
            capture_output=True,
            timeout=PATIENCE,
            check=True,
            env=workload.child_environment(),
        )
        found = msgspec.json.decode(told.stdout, type=Interpreter)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        raise UsageError(f"--python {path} is no Python that can be used: {error}") from error
    if not found.recent:
        raise UsageError(f"--python {path} is Python {found.version}; the crawler needs 3.11")
    return found


def needed_by(arms: Iterable[Arm]) -> list[str]:
    """The packages that these arms need, apart from zstd."""
    arms = tuple(arms)
    clients = {EXTRA[arm.client] for arm in arms if arm.client in EXTRA}
    return [*NEEDED, *sorted(clients | {arm.loop for arm in arms if arm.loop == "uvloop"})]


def able(path: str, arms: Iterable[Arm]) -> Interpreter:
    """The interpreter, if it can run these arms. Raises UsageError, which says what to install, where it cannot."""
    found = ask(path, [*needed_by(arms), ZSTD])
    old = tuple(map(int, found.version.split(".")[:2])) < WITH_ZSTD
    missing = [name for name in found.missing if name != ZSTD or old]
    if missing:
        install = shlex.join([path, "-m", "pip", "install", *missing])
        hint = ", or --loops asyncio" if missing == ["uvloop"] else ""
        raise UsageError(f"--python {path} ({found.name}) lacks {', '.join(missing)}: {install}{hint}")
    return found


def interpreters(arms: Sequence[Arm]) -> dict[str, str]:
    """The interpreters of arms that are not run by this one, for the environment of a session. Raises UsageError."""
    paths = dict.fromkeys(arm.python for arm in arms if arm.python)
    return {f"python {path}": able(path, [arm for arm in arms if arm.python == path]).facts for path in paths}
