"""The trap detector of a host refuses endless repetition, and nothing on ordinary sites."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.core.messages import Budget, Link
from crawler.core.reasons import Reason
from crawler.core.rules import Rules
from crawler.core.traps.detector import HUBS, KEPT, LIFTED, TOLD, TrapDetector
from crawler.core.traps.doubts import MOST, TRIALS, VOUCHED
from crawler.core.traps.sameness import VALUES
from crawler.core.urls.patterns import Rejection

H = "http://h.test"
Sketch = Callable[[int], tuple[int, int] | None]
Name = Callable[[int], str]


def product(n: int) -> str:
    return f"{H}/product/{n}"


def different(n: int) -> tuple[int, int]:
    return n, n


def alike(n: int) -> tuple[int, int]:
    return n, 0


def same(n: int) -> tuple[int, int]:
    return 0, 0


def play(
    detector: TrapDetector,
    fingerprint: Sketch,
    pages: int,
    url: Name = product,
    new: int = 2,
    back: int = 0,
    doubt: bool = True,
    start: int = 0,
) -> tuple[int, Rejection | None]:
    """Fetch so many pages. Each links to so many new and known URLs and is linked by the one before. Returns how many
    were fetched before one was refused, and why."""
    named_by = 0
    for n in range(start, start + pages):
        link = Link(n, url(n), 1, status=-named_by)
        refusal = detector.refuses(link)
        if refusal is not None:
            return n - start, refusal
        detector.count(link)
        marks = fingerprint(n)
        landed = detector.land(link, marks)
        named_by = landed if doubt else 0
        names = [url(10**6 + n * 10 + k) for k in range(new)]
        detector.named(link, marks and marks[0], landed, names, [url(n - k - 1) for k in range(back)])
    return pages, None


def reason(played: tuple[int, Rejection | None]) -> tuple[int, Reason | None]:
    asked, refusal = played
    return asked, refusal and refusal[0]


# ---- groups ----------------------------------------------------------------------------------------------------------


def test_a_pattern_whose_pages_differ_and_link_back_may_be_of_any_size() -> None:
    assert play(TrapDetector(Rules()), different, 5000, new=1, back=1) == (5000, None)
    assert play(TrapDetector(Rules()), different, 5_000, new=3, back=1) == (5_000, None)


def test_pages_that_differ_in_generated_text_only_and_link_to_new_ones_endlessly_are_stopped() -> None:
    asked, refusal = play(TrapDetector(Rules()), alike, 5000, new=1)
    assert (asked, refusal and refusal[0]) == (500, Reason.REPEATED_PAGES)
    assert refusal is not None
    assert refusal[1] == "/product/0: 100 pages in a row differ only in numbers and names, and link to 100 new URLs"


def test_similar_pages_whose_number_stops_growing_are_not_stopped() -> None:
    assert play(TrapDetector(Rules()), alike, 5000, new=0) == (5000, None)
    assert play(TrapDetector(Rules()), alike, 5000, new=1, back=3) == (5000, None)


def test_urls_not_linked_by_repeated_pages_are_fetched_despite_a_stopped_pattern() -> None:
    detector = TrapDetector(Rules())
    play(detector, alike, 5000, new=1)
    assert detector.refuses(Link(1, product(1), 1)) is None
    assert detector.refuses(Link(1, product(1), 1, status=-1)) is not None
    assert detector.refuses(Link(1, f"{H}/news/1", 1, status=-1)) is None
    assert detector.has_stopped
    assert detector.doubt == 1


def test_endless_text_is_stopped() -> None:
    asked, refusal = play(TrapDetector(Rules()), different, 5000, doubt=False)
    assert (asked, refusal and refusal[0]) == (800, Reason.ENDLESS)
    assert refusal is not None
    assert refusal[1] == "/product/0: 100 pages in a row link to 200 new URLs, and to hardly any known one"


def word(n: int) -> str:
    return "".join(chr(ord("g") + int(digit)) for digit in str(n))


@pytest.mark.parametrize(
    ("name", "group"), [(lambda n: f"{H}/a/{word(n)}.html", "/a/"), (lambda n: f"{H}/{word(n)}", "the whole host")]
)
def test_groups_without_numbers_are_directories_and_the_host(name: Name, group: str) -> None:
    asked, refusal = play(TrapDetector(Rules()), different, 5000, name, doubt=False)
    assert (asked, refusal and refusal[0]) == (800, Reason.ENDLESS)
    assert refusal is not None
    assert refusal[1].startswith(f"{group}: ")


def test_the_budget_of_the_whole_host_is_reported() -> None:
    detector = TrapDetector(Rules())
    play(detector, different, 5000, lambda n: f"{H}/{word(n)}", doubt=False)
    assert detector.has_stopped
    due = list(detector.due(H, f"{H}/x"))
    assert [one.pattern for one in due] == [0]
    assert due[0].stopped.startswith("the whole host")


@settings(max_examples=15)
@given(budget=st.integers(400, 3000))
def test_the_budget_is_a_setting(budget: int) -> None:
    rules = Rules(pattern_pages=budget)
    assert budget * 0.5 <= reason(play(TrapDetector(rules), alike, 5000))[0] <= max(budget * 0.5, 200) + 100
    assert budget * 0.8 <= reason(play(TrapDetector(rules), different, 5000))[0] <= budget * 0.8 + 100


def test_shards_estimate_the_total_and_ask_the_owner_when_in_doubt() -> None:
    for shards in (1, 2, 4, 16):
        detector = TrapDetector(Rules())
        detector.share(shards)
        asked, why = reason(play(detector, different, 5000))
        assert why is Reason.ENDLESS
        assert asked * shards <= 800 + 100 * shards
        assert detector.suspicious


def test_a_page_without_links_or_text_is_no_trap() -> None:
    detector = TrapDetector(Rules())
    assert play(detector, lambda n: None, 3000, new=0) == (3000, None)
    link = Link(1, product(1), 1, status=-2)
    detector.count(link)
    detector.named(link, None, detector.land(link, None), [], [])
    assert detector._doubts.trust.worth == 1


# ---- doubt -----------------------------------------------------------------------------------------------------------


def words(n: int) -> str:
    return f"{H}/{word(n)}"


def test_urls_linked_by_repeated_pages_only_are_fetched_while_trusted_and_then_sampled() -> None:
    detector = TrapDetector(Rules())
    asked, refusal = play(detector, same, 5000, words)
    assert TRIALS + 2 <= asked <= TRIALS + 2 + VALUES, "the first few names may be versions"
    assert refusal == (Reason.REPEATED_PAGES, "only repeated pages link to it; of 60 such URLs 0 brought a new page")
    assert detector.suspicious
    refused = [detector.refuses(Link(9, words(n), 1, status=-2)) is not None for n in range(999)]
    assert refused.count(False) == 6, "number 16, 32, ... 512"
    assert detector.refuses(Link(9, words(1), 1, status=-1)) is None
    assert detector.doubt == 2


def test_pages_without_new_links_may_repeat_each_other() -> None:
    assert play(TrapDetector(Rules()), same, 5000, new=0) == (5000, None)


def test_trust_comes_back_with_new_pages() -> None:
    detector = TrapDetector(Rules())
    play(detector, same, 5000, words)
    for n in range(8):
        link = Link(n, words(10**7 + n), 1, status=-2)
        detector.count(link)
        detector.named(link, n, detector.land(link, (10 + n, 10 + n)), [words(7)], [])
    assert detector.refuses(Link(9, words(12345), 1, status=-2)) is None


def test_repeated_lists_are_fetched_for_the_pages_that_they_link() -> None:
    detector = TrapDetector(Rules())
    for n in range(2000):
        link = Link(n, f"{H}/list?page={n}", 1, status=-2)
        assert detector.refuses(link) is None
        detector.count(link)
        items = [f"{H}/item/{n * 3 + k}" for k in range(3)]
        detector.named(link, 0, detector.land(link, (0, 0)), [*items, f"{H}/list?page={n + 1}"], [])
        for k, url in enumerate(items):
            item = Link(n, url, 2, status=-2)
            assert detector.refuses(item) is None
            detector.count(item)
            detector.named(item, n, detector.land(item, (n * 3 + k + 1, n * 3 + k + 1)), [], [])


def test_links_of_a_new_page_are_trusted() -> None:
    detector = TrapDetector(Rules())
    detector.vouch([words(5)], detector.land(Link(1, words(1), 1), different(1)))
    assert not detector._doubts._vouched, "no link is doubted yet"
    detector.has_doubts = True  # the crawl sets it when it queues a link under doubt
    play(detector, same, 5000, words)
    doubted = Link(9, words(5), 1, status=-2)
    assert detector.refuses(doubted) is not None
    detector.vouch([words(5)], detector.land(Link(1, words(8), 1), same(1)))
    assert detector.refuses(doubted) is not None
    detector.vouch([words(5)], detector.land(Link(1, words(2), 1), different(2)))
    assert detector.refuses(doubted) is None
    detector.vouch(map(words, range(VOUCHED + 10)), detector.land(Link(1, words(3), 1), different(3)))
    assert len(detector._doubts._vouched) <= VOUCHED


def test_a_very_large_setting_switches_it_off() -> None:
    detector = TrapDetector(Rules(pattern_pages=LIFTED + 1, merge_same_pages=False))
    for fingerprint in (same, alike, different):
        assert play(detector, fingerprint, 3000, words) == (3000, None)


def test_pages_of_a_class_are_doubted_where_all_others_of_it_brought_nothing_new() -> None:
    detector = TrapDetector(Rules())
    for n in range(3 * MOST):
        link = Link(n, f"{H}/{word(n)}/1", 1, status=-2)
        if detector.refuses(link) is None:
            detector.count(link)
            detector.named(link, 0, detector.land(link, (0, 0)), [f"{H}/{word(n)}x/1"], [])
    assert detector._doubts.trust.asked < 120
    for n in range(3 * MOST):
        detector.count(Link(n, f"{H}/{word(n)}/1", 1, status=-2))
    assert len(detector._doubts._classes) <= MOST


# ---- shapes and hosts ------------------------------------------------------------------------------------------------


def test_a_host_has_a_budget_and_shards_share_it() -> None:
    def asked(shards: int) -> tuple[int, Reason | None]:
        detector = TrapDetector(Rules(max_host_pages=120))
        detector.share(shards)
        return reason(play(detector, different, 5000, new=0))

    found = [asked(shards) for shards in (1, 2, 3, 500)]
    assert found == [(pages, Reason.HOST_LIMIT) for pages in (120, 60, 40, 1)]


def test_seeds_may_have_any_shape_and_count_in_the_budget() -> None:
    detector, url = TrapDetector(Rules(max_host_pages=1)), f"{H}/a/a/a"
    assert detector.refuses(Link(1, url, 0)) is None
    assert detector.refuses(Link(2, url, 1)) == (Reason.REPEATED_PATH, "'a' repeats in its path")
    detector.count(Link(1, url, 0))
    assert detector.refuses(Link(1, f"{H}/b", 0)) == (Reason.HOST_LIMIT, "")


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_memory_is_bounded() -> None:
    detector = TrapDetector(Rules())
    detector.remembered = 100
    play(detector, different, 3 * MOST, lambda n: f"{H}/{word(abs(n))}/1", new=1, back=1)
    assert len(detector._groups) <= MOST
    assert len(detector._exact) <= 100
    assert len(detector._loose) <= 100
    assert len(detector._hubs) <= HUBS
    for n in range(5):
        detector._count_back([words(n) for n in range(HUBS)])
    detector._count_back([words(n) for n in range(HUBS + 1)])
    assert detector._hubs == {}, "too many URLs are linked often to tell a menu from the rest"
    for _ in range(6):
        detector._count_back([words(n) for n in range(9)])
    detector._count_back([words(n) for n in range(HUBS + 1)])
    assert len(detector._hubs) == 9
    detector._same.compare(f"{H}/a?x=1", f"{H}/a?x=2", 1)
    detector.named(Link(1, words(1), 1), None, detector.land(Link(1, words(1), 1), None), [], [])
    group = detector._group(77)
    group.stopped = "before"
    assert not group.add(detector.land(Link(1, words(1), 1), None), 1, 0, 1, 100)


@settings(max_examples=15)
@given(
    fingerprint=st.sampled_from([alike, different]),
    lives=st.lists(st.integers(1, 400), max_size=9),
    kills=st.booleans(),
)
def test_a_resumed_crawl_continues_with_its_budgets(fingerprint: Sketch, lives: list[int], kills: bool) -> None:
    noted: dict[int, Budget] = {}
    total = 0
    for pages in [*lives, 5000]:
        detector = TrapDetector(Rules())
        detector.recall(tuple(noted.values()))
        asked = 0
        for n in range(total, total + pages):
            link = Link(n, product(n), 1, status=-2 if fingerprint is alike else 0)
            if detector.refuses(link):
                break
            detector.count(link)
            landed = detector.land(link, fingerprint(n))
            detector.named(link, n, landed, [product(10**6 + n * 2), product(10**6 + n * 2 + 1)], [])
            asked += 1
            noted |= {budget.pattern: budget for budget in detector.due(H, product(n))}
        if not kills:
            noted |= {budget.pattern: budget for budget in detector.unflushed(H)}
        total += asked
    assert total <= 1000 + (TOLD * len(lives) if kills else 0) + len(lives)
    assert total >= 400


def test_trust_and_rules_survive_a_restart() -> None:
    detector = TrapDetector(Rules())
    for session in range(6):
        for page in range(20):
            link = Link(1, f"{H}/s-{session}{page}/page{page}", 1, status=-2 if session else 0)
            detector.count(link)
            detector.named(link, page, detector.land(link, (page, page)), [f"{H}/s-{session}{page}9/page{page}"], [])
    again = TrapDetector(Rules())
    again.recall(tuple(detector.unflushed(H)))
    why = again.refuses(Link(1, f"{H}/s-77777/page5", 1))
    assert why is not None
    assert why[0] is Reason.SAME_PAGES
    assert again._doubts.trust == detector._doubts.trust
    unmerged = TrapDetector(Rules(merge_same_pages=False))
    unmerged.recall(tuple(detector.unflushed(H)))
    assert unmerged.refuses(Link(1, f"{H}/s-77777/page5", 1)) is None


@pytest.mark.parametrize("url", [f"{H}/about", product(1)])
def test_notes_to_the_frontier_are_batched_and_never_repeated(url: str) -> None:
    detector = TrapDetector(Rules())
    for _ in range(TOLD):
        assert list(detector.due(H, url)) == []
        detector.count(Link(1, url, 1))
    due = list(detector.due(H, url))
    assert {budget.pages for budget in due} == {TOLD}
    assert len(due) == (1 if url.endswith("about") else 3)
    assert list(detector.unflushed(H)) == list(detector.due(H, url)) == []


def test_repeated_pages_are_recognised_in_the_next_run() -> None:
    detector = TrapDetector(Rules())
    play(detector, same, 30, words)
    again = TrapDetector(Rules())
    again.recall(tuple(detector.unflushed(H)))
    link = Link(1, words(999), 1)
    assert again.land(link, same(1)).name == "REPEATED"
    assert again.land(link, (5, 0)).name == "ALIKE"
    assert again.land(link, (6, 6)).name == "UNIQUE"
    for n in range(3 * KEPT):
        for page in (n, n + 10_000):
            again.land(Link(1, f"{words(page)}/{word(page)}", 1), (100 + n, 100 + n))
    assert len(again._often) == len(again._often_loose) == KEPT
