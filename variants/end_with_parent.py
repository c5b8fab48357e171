"""What a fork server imports first where the main thread starts it: from then on the kernel ends it with that process.

It would end by itself, but only after it has imported all the rest, which takes a second.
"""

from __future__ import annotations

from crawler.system.parent_death import die_with_parent

die_with_parent()
