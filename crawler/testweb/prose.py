"""Words and paragraphs that fill the pages, in three scripts. They must not change: a seed chooses among them."""

from __future__ import annotations

from functools import cache

from crawler.testweb.draw import SeededRandom

_ENGLISH = (
    "harbour lantern meadow copper winter orchard velvet saddle thunder pebble garden mirror anchor basket candle "
    "desert ember falcon glacier hollow island jasmine kettle ladder marble needle oyster pepper quarry ribbon silver "
    "timber umbrella valley walnut yellow zephyr bridge castle dragon engine forest guitar hammer insect jungle "
    "kingdom letter market nature ocean palace quilt river summit temple"
)
WORDS = tuple(_ENGLISH.split())

_LANGUAGES = {
    "en": _ENGLISH,
    "ru": "город река зима окно дорога письмо вечер сад книга мост море лес утро ветер дом",
    "ja": "東京 京都 大阪 山 川 海 花 雪 月 風 森 道 手紙 夜 朝",
}
_PARAGRAPHS = 97


@cache
def _pool(language: str) -> tuple[tuple[str, ...], int]:
    """The paragraphs of a language, listed twice so that a slice can wrap around, and their mean length."""
    words, dice = _LANGUAGES[language].split(), SeededRandom("prose", language)
    pool = tuple(
        "<p>" + " ".join(words[dice.below(len(words))] for _ in range(40 + dice.below(40))) + ".</p>\n"
        for _ in range(_PARAGRAPHS)
    )
    return pool * 2, sum(map(len, pool)) // _PARAGRAPHS


def paragraphs(language: str, size: int, start: int) -> str:
    """About `size` characters of HTML paragraphs (at least one, at most all), from the `start`-th of a cycle on."""
    pool, mean = _pool(language)
    first = start % _PARAGRAPHS
    return "".join(pool[first : first + min(_PARAGRAPHS, max(1, size // mean))])
