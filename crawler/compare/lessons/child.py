"""The process of one lesson: `python -m crawler.compare.lessons.child PACKAGE NAME` prints its samples as JSON.

It ends with its parent. It may run on an interpreter without any package, so it imports only the standard library.
Imports are lazy, because processes that a lesson spawns import this module again.
"""

from __future__ import annotations

import sys
from contextlib import suppress


def main(package: str, name: str) -> None:
    """Run a lesson and print its samples."""
    import json

    from crawler.compare.lessons.experiments import load
    from crawler.system.parent_death import die_with_parent

    die_with_parent()
    samples = load(name, package).run()
    _stop_fork_server()
    sys.stdout.write(json.dumps(samples))


def _stop_fork_server() -> None:
    """Stop the fork server, if there is one, and wait for it: otherwise its children's CPU would not count as ours."""
    from multiprocessing import forkserver

    with suppress(AttributeError):
        forkserver._forkserver._stop()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(*sys.argv[1:])
