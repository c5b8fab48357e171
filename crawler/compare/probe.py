"""Run by another interpreter with `-c`: which one it is, and which of the named packages it cannot import, as JSON.

Nothing of the crawler is imported, and the syntax is that of any Python 3: one that is too old must be able to say so.
"""

import json
import platform
import sys
import sysconfig


def version(name: str) -> str:
    """The version of an installed package; "" where it is unknown."""
    try:
        from importlib import metadata

        return metadata.version(name)
    except ImportError:  # a package without metadata, or a Python before 3.8
        return ""


missing = []
for name in sys.argv[1:]:
    try:
        __import__(name)
    except ImportError:
        missing.append(name)

print(
    json.dumps(
        {
            "implementation": platform.python_implementation(),
            "version": platform.python_version(),
            "build": " ".join(sys.version.split()),
            "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
            "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
            "recent": sys.version_info >= (3, 11),
            "missing": missing,
            "versions": {name: version(name) for name in sys.argv[1:]},
        }
    )
)
