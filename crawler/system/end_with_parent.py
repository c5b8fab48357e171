"""What a fork server imports first where the main thread starts it: from then on the kernel ends it with that process,
and with it every process that it forks, from the fork on.

It would end by itself, but only after it has imported all the rest, which takes a second and more on a busy machine. So
this module needs nothing but the standard library and `crawler.system`. PARENT in the environment is the pid of the
process that starts the fork server. Where that has ended before, no signal would come, so the pid is compared.
"""

from __future__ import annotations

import os

from crawler.system.parent_death import die_with_parent

PARENT = "_CRAWLER_FORK_SERVER_PARENT"


def _end_children_with_us() -> None:
    """Children that are forked from now on end with this process."""
    ours = [os.getpid()]  # the process that forks

    def before() -> None:
        ours[0] = os.getpid()

    os.register_at_fork(before=before, after_in_child=lambda: die_with_parent(ours[0]))


if PARENT in os.environ:  # only in a fork server
    die_with_parent(int(os.environ.pop(PARENT)))
    _end_children_with_us()
