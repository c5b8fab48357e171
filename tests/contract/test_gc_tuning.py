"""The garbage collector during a crawl: seldom, not never, and afterwards as the program had it."""

from __future__ import annotations

import gc
import weakref

from crawler.system.gc_tuning import SELDOM, reduced_gc


class Ring:
    """Garbage that only the collector can find."""

    def __init__(self) -> None:
        self.me = self


def test_garbage_is_still_found_and_the_program_gets_its_collector_back() -> None:
    before = gc.get_threshold()
    with reduced_gc():
        assert gc.get_freeze_count() > 0
        lost = weakref.ref(Ring())
        kept: list[list[object]] = [[] for _ in range(2 * SELDOM)]  # containers that stay make it look
        assert lost() is None
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
    assert len(kept) == 2 * SELDOM


def test_what_a_program_has_frozen_stays_frozen() -> None:
    gc.freeze()
    try:
        with reduced_gc():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
