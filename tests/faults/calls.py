"""Makes the Nth call of a libc function fail or kill the process, with `shim.c` preloaded (Linux, C compiler).

Calls are counted over all processes of a crawl, so "the 17th write" is one write.
"""

from __future__ import annotations

import errno
import functools
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

COUNTERS = 64
FIRED = 63
ERRORS: Mapping[str, tuple[int, ...]] = {
    "write": (errno.ENOSPC, errno.EIO),
    "pwrite": (errno.ENOSPC, errno.EIO),
    "fsync": (errno.EIO,),
    "fdatasync": (errno.EIO,),
    "ftruncate": (errno.ENOSPC, errno.EIO),
    "rename": (errno.EIO, errno.ENOSPC),
    "open": (errno.EMFILE, errno.ENOSPC, errno.EIO),
    "mkdir": (errno.ENOSPC,),
    "unlink": (errno.EIO,),
    "connect": (errno.EMFILE, errno.ENETUNREACH, errno.EADDRNOTAVAIL),
    "fork": (errno.EAGAIN,),
    "thread": (errno.EAGAIN,),
    "memory": (errno.ENOMEM,),
}
"""The functions, in the order of their counters, and the errors that each may return."""
CALLS = tuple(ERRORS)
WRITES = ("write", "pwrite", "fsync", "fdatasync", "ftruncate", "rename", "open", "mkdir", "unlink")


class Fault(NamedTuple):
    """The fault at a given call. `number` 0: SIGKILL, in the middle of a write; `on`: and at each later call, or at so
    many later ones."""

    call: str
    nth: int
    number: int = 0
    on: bool | int = False

    def __str__(self) -> str:
        what = errno.errorcode[self.number] if self.number else "SIGKILL"
        return f"{self.call} no. {self.nth}{f' and later ({int(self.on)})' if self.on else ''}: {what}"


COUNT = Fault("write", 0)


class Shim:
    """One use of the shim on files below `path`, with its counts and the time when it fired."""

    def __init__(self, fault: Fault, path: Path, shared: Path) -> None:
        self._fault = fault
        self._path = path
        self._shared = shared
        shared.write_bytes(bytes(8 * COUNTERS))

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of the crawler."""
        return {
            "LD_PRELOAD": str(library()),
            "SHIM_CALL": self._fault.call,
            "SHIM_NTH": str(self._fault.nth),
            "SHIM_ERRNO": str(self._fault.number),
            "SHIM_ON": str(int(self._fault.on)),
            "SHIM_PATH": str(self._path),
            "SHIM_FILE": str(self._shared),
        }

    @property
    def counts(self) -> dict[str, int]:
        """How often each function was called."""
        return dict(zip(CALLS, self._counters(), strict=False))

    @property
    def fired_at(self) -> float | None:
        """The monotonic time of the fault; None if that call was not made."""
        return self._counters()[FIRED] / 1e9 or None

    def _counters(self) -> tuple[int, ...]:
        return struct.unpack(f"={COUNTERS}Q", self._shared.read_bytes())


def missing() -> str:
    """Why the shim cannot be used on this machine; "" if it can."""
    if not Path("/proc/self/fd").exists():
        return "the shim reads /proc"
    return "" if shutil.which("cc") else "the shim needs a C compiler"


@functools.cache
def library() -> Path:
    """The compiled shim."""
    built = Path(tempfile.mkdtemp(prefix="shim-")) / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", built, source, "-ldl"], check=True)
    return built
