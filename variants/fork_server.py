"""What the fork server imports before it forks, so that workers need not; only ever imported there.

Where it cannot fork it ends, and the crawler says so in one line: the traceback that Python would print beside it is
left out.
"""

from __future__ import annotations

import sys

import variants.pool_worker
import variants.shard_worker  # noqa: F401

sys.excepthook = lambda kind, error, at: None
