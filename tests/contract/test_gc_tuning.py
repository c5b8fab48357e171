"""The garbage collector during a crawl: it runs less often, and its settings are restored afterwards."""

from __future__ import annotations

import gc
import weakref

from crawler.system.gc_tuning import SELDOM, reduced_gc


class Ring:
    """Reference cycles, which only the collector frees."""

    def __init__(self) -> None:
        self.me = self


def test_cycles_are_still_freed_and_the_settings_are_restored() -> None:
    before = gc.get_threshold()
    with reduced_gc():
        assert gc.get_freeze_count() > 0
        lost = weakref.ref(Ring())
        kept: list[list[object]] = [[] for _ in range(2 * SELDOM)]  # surviving containers trigger a collection
        assert lost() is None
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
    assert len(kept) == 2 * SELDOM


def test_objects_that_the_program_froze_stay_frozen() -> None:
    gc.freeze()
    try:
        with reduced_gc():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
