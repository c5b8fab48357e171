"""Brakes against endless sites: what a host may still be asked for, judged by what it was asked for and what came.

Theory of operation. Where a URL is about to be asked for the first time the `Ledger` of its host may refuse it, and it
settles at once, with the reason. Refused are URLs of an odd shape (see patterns.py), those beyond the budget of the
host, and those of a pattern that was stopped.

A pattern is never stopped for being large: a shop has 100,000 products under one. It is stopped where its pages stop
differing, which *exams* find out. In an exam the next WINDOW pages of a pattern are sketched; fewer than one page in
SAME of them different: it has failed.
- The first exam begins after half a WINDOW and looks at whole texts: the same page under ever new session ids.
- The others are about the last WINDOW of every `pattern_pages` pages, and look at texts without what counts on by
  itself, too: a calendar without end. So the budget of a pattern is renewed for as long as its pages differ.

Rules:
- Seeds, and what they are redirected to, may have any shape. Another attempt is no new URL and is never refused.
- An exam that is still open when the pages of a pattern are spent is judged by what has come, if that is a quarter of a
  WINDOW; so a pattern overshoots by what is in flight at most. Only pages that have links count: others lead nowhere.
- Counts survive: the frontier is told of a pattern every TOLD pages, when it is stopped, when its host is forgotten and
  at the end of a run that is not the last. A kill forgives fewer than TOLD pages.
- Memory is bounded: of MOST patterns of a host the half with fewest pages is forgotten. Those are the ones that hold
  one URL each.
- A host that is spread over shards shares its budgets among them, but for two WINDOWs and a half of a pattern at least.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.messages import Budget, Link, Reason
from crawler.core.patterns import Refusal, odd, pattern_of
from crawler.core.rules import Rules

WINDOW = 200
SAME = 10
TOLD = 16
SHOWN = 100  # characters of a pattern
WHOLE = 0
"""Stands for the host itself among the marks of its patterns."""
MOST = 500
BITS = 1024  # of a bitmap that counts different pages: of 200 some 180 leave a bit of their own


class Account(msgspec.Struct):
    """What was asked for of one pattern; `told` of these pages to the frontier. While an exam is open `seen` pages have
    left their bits in it, else it is None."""

    pages: int = 0
    told: int = 0
    seen: int | None = None
    texts: int = 0
    words: int = 0
    stopped: str = ""


class Ledger:
    """What one host was asked for, by pattern."""

    __slots__ = ("_accounts", "_limit", "_round", "_rules", "_whole")

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._whole = Account()
        self._accounts: dict[int, Account] = {}
        self.share(1)

    def share(self, shards: int) -> None:
        """So many shards ask the host from now on, each on an account of its own."""
        self._limit = max(1, self._rules.max_host_pages // shards)
        budget = self._rules.pattern_pages
        self._round = max(budget // shards, min(budget, WINDOW * 5 // 2))

    def refuses(self, link: Link) -> Refusal | None:
        """Why this URL must not be asked for, None where it may."""
        refusal = odd(link.url, self._rules) if link.depth else None
        if refusal is not None:
            return refusal
        if self._whole.pages >= self._limit:
            return Reason.HOST_LIMIT, ""
        account = self._of(link.url)
        if account is None:
            return None
        if account.seen is not None and account.pages % self._round == 0:
            self._judge(account, link.url)
        return (Reason.REPEATED_PAGES, account.stopped) if account.stopped else None

    def count(self, url: str) -> bool:
        """A URL is asked for, for the first time. Whether its page is to be sketched."""
        self._whole.pages += 1
        account = self._of(url) or self._open(url)
        if account is None:
            return False
        account.pages += 1
        if account.pages == WINDOW // 2 or account.pages % self._round == self._round - WINDOW:
            if account.seen is not None:
                self._judge(account, url)
            account.seen = account.texts = account.words = 0
        return account.seen is not None

    def land(self, url: str, sketch: tuple[int, int] | None) -> None:
        """A page came, and was sketched if that was asked for and could be done."""
        account = self._of(url) if sketch is not None else None
        if sketch is None or account is None or account.seen is None:
            return
        account.seen += 1
        account.texts |= 1 << sketch[0] % BITS
        account.words |= 1 << sketch[1] % BITS
        if account.seen == WINDOW:
            self._judge(account, url)

    # ---- exams -------------------------------------------------------------------------------------------------------

    def _judge(self, account: Account, url: str) -> None:
        seen, late = account.seen or 0, account.pages >= self._round - WINDOW
        if seen * 4 < WINDOW:
            return
        texts, words = account.texts.bit_count(), account.words.bit_count()
        pattern = pattern_of(url)[:SHOWN]
        if texts * SAME <= seen:
            account.stopped = f"{pattern}: {texts} different texts in {seen} pages"
        elif late and words * SAME <= seen:
            account.stopped = f"{pattern}: {words} texts that differ in more than numbers in {seen} pages"
        account.seen = None
        account.texts = account.words = 0
        account.told = min(account.told, account.pages - TOLD)

    # ---- memory ------------------------------------------------------------------------------------------------------

    def _of(self, url: str) -> Account | None:
        return self._accounts.get(_mark(url))

    def _open(self, url: str) -> Account | None:
        mark = _mark(url)
        if not mark:
            return None
        if len(self._accounts) >= MOST:
            busiest = sorted(self._accounts.items(), key=lambda entry: entry[1].pages)[-(MOST // 2) :]
            self._accounts = dict(busiest)
        account = self._accounts[mark] = Account()
        return account

    def due(self, host: str, url: str) -> Iterator[Budget]:
        """What the frontier must hear now that a page of this URL came."""
        mark = _mark(url)
        for key, account in ((WHOLE, self._whole), (mark, self._accounts.get(mark))):
            if account is not None and account.pages - account.told >= TOLD:
                yield _told(host, key, account)

    def untold(self, host: str) -> Iterator[Budget]:
        """What the frontier must hear before this is forgotten."""
        for key, account in ((WHOLE, self._whole), *self._accounts.items()):
            if account.pages > account.told:
                yield _told(host, key, account)

    def recall(self, budgets: tuple[Budget, ...]) -> None:
        """Take up what the frontier was told."""
        for it in budgets:
            texts, words = int.from_bytes(it.texts), int.from_bytes(it.words)
            account = Account(it.pages, it.pages, it.seen, texts, words, it.stopped)
            if it.pattern == WHOLE:
                self._whole = account
            else:
                self._accounts[it.pattern] = account


def _told(host: str, mark: int, account: Account) -> Budget:
    account.told = account.pages
    texts, words = (bits.to_bytes(BITS // 8) if bits else b"" for bits in (account.texts, account.words))
    return Budget(host, mark, account.pages, account.seen, texts, words, account.stopped)


@lru_cache(maxsize=4096)
def _mark(url: str) -> int:
    """The mark of the pattern of a URL, WHOLE where it has none."""
    pattern = pattern_of(url)
    return xxh3_64_intdigest(pattern.encode()) >> 1 if pattern else WHOLE
