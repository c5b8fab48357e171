"""The modules that the fork server preloads, so that workers need not import them. Imported only there.

A fork server that cannot fork ends, and the crawler reports it in one line. `sys.excepthook` suppresses the traceback
that Python would print as well.
"""

from __future__ import annotations

import sys

import variants.pool_worker
import variants.shard_worker  # noqa: F401

sys.excepthook = lambda kind, error, at: None
