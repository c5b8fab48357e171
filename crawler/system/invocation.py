"""How this process was called and installed, for hints that a user can copy.

Rules:
- A hint repeats the command as it was called: `crawler` where the shell finds that, the path of the script where it is
  not found, and `python -m crawler` everywhere else, programs that use the library included.
- The distribution is called crawler-engines, because `crawler` on the package index is a stranger's. From a checkout
  the extras are those of the checkout.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from shutil import which

DISTRIBUTION = "crawler-engines"
SCRIPT = "crawler"
MODULE = "python -m crawler"
ROOT = Path(__file__).resolve().parents[2]
"""The root of the checkout, or the folder of installed packages."""


def called() -> str:
    """The command that starts this crawler again, quoted for a shell."""
    program = sys.argv[0] if sys.argv else ""
    if Path(program).name != SCRIPT or not os.access(program, os.X_OK) or Path(program).is_dir():
        return MODULE
    found = which(SCRIPT)
    return SCRIPT if found and Path(found).samefile(program) else shlex.quote(program)


def pip_install(extra: str, root: Path = ROOT) -> str:
    """The command that installs an extra of this project. `root` is where the package `crawler` lies."""
    if not (root / "pyproject.toml").is_file():
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    where = "." if root == Path.cwd() else str(root)
    return f"pip install -e {shlex.quote(f'{where}[{extra}]')}"
