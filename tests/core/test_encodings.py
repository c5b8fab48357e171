"""Queries in the encodings of their pages (URL Standard, Encoding Standard)."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
import turbohtml.detect  # noqa: F401  registers the codecs "whatwg-..."
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.page.encodings import with_query_in

SINGLE = (
    "IBM866 ISO-8859-2 ISO-8859-7 ISO-8859-8-I ISO-8859-10 ISO-8859-16 KOI8-R KOI8-U macintosh windows-874 windows-1250"
    " windows-1251 windows-1252 windows-1255 windows-1258 x-mac-cyrillic x-user-defined"
)
NAMES = [*SINGLE.split(" "), "GBK", "gb18030", "Big5", "EUC-JP", "ISO-2022-JP", "Shift_JIS", "EUC-KR"]


@pytest.mark.parametrize(
    ("href", "encoding", "written"),
    [
        ("/é?q=é", "windows-1252", "/é?q=%E9"),
        ("/é?q=é#é?é", "windows-1252", "/é?q=%E9#é?é"),
        ("#?é", "windows-1252", "#?é"),
        ("/é", "windows-1252", "/é"),
        ("/é?q=e", "windows-1252", "/é?q=e"),
        ("?é?é", "windows-1252", "?%E9?%E9"),
        ("?q=é", "UTF-8", "?q=é"),
        ("?q=é", "UTF-16LE", "?q=é"),
        ("?q=é", "UTF-16BE", "?q=é"),
        ("?q=é", "replacement", "?q=é"),
        ("?q=€", "windows-1252", "?q=%80"),
        ("?q=\x81", "windows-1252", "?q=%81"),
        ("?q=☃", "windows-1252", "?q=%26%239731%3B"),
        ("?q=\U0001f4a9é", "windows-1252", "?q=%26%23128169%3B%E9"),
        ("?q=\ud800é", "windows-1252", "?q=%26%2365533%3B%E9"),
        ("?a\n=\té&b='\"<> ", "windows-1252", "?a=%E9&b='\"<> "),
        ("?q=страница", "windows-1251", "?q=%F1%F2%F0%E0%ED%E8%F6%E0"),
        ("?q=ў", "KOI8-U", "?q=%AE"),
        ("?q=é", "x-user-defined", "?q=%26%23233%3B"),
        ("?q=\uf7e9", "x-user-defined", "?q=%E9"),
        ("?q=日本語", "Shift_JIS", "?q=%93%FA%96{%8C%EA"),
        ("?q=ソ", "Shift_JIS", "?q=%83\\"),
        ("?q=ｱ¥‾\u2212", "Shift_JIS", "?q=%B1\\~%81|"),
        ("?q=纊", "Shift_JIS", "?q=%FA\\"),  # not the NEC row
        ("?q=日ｱ\u2212", "EUC-JP", "?q=%C6%FC%8E%B1%A1%DD"),
        ("?q=日本", "ISO-2022-JP", "?q=%1B$BF|K\\%1B(B"),
        ("?q=日a本", "ISO-2022-JP", "?q=%1B$BF|%1B(Ba%1B$BK\\%1B(B"),
        ("?q=¥a\\é", "ISO-2022-JP", "?q=%1B(J\\a%1B(B\\%26%23233%3B"),
        ("?q=日é", "ISO-2022-JP", "?q=%1B$BF|%1B(B%26%23233%3B"),
        ("?q=ﾊﾞ", "ISO-2022-JP", "?q=%1B$B%O!+%1B(B"),
        ("?q=中", "Big5", "?q=%A4%A4"),
        ("?q=十", "Big5", "?q=%A4Q"),
        ("?q=═", "Big5", "?q=%F9%F9"),
        ("?q=㐀", "Big5", "?q=%26%2313312%3B"),  # Hong Kong extension, for decoders only
        ("?q=한", "EUC-KR", "?q=%C7%D1"),
        ("?q=똠", "EUC-KR", "?q=%8Cc"),
        ("?q=中€", "GBK", "?q=%D6%D0%80"),
        ("?q=\ue5e5", "GBK", "?q=%26%2358853%3B"),
        ("?q=\U0001f4a9", "GBK", "?q=%26%23128169%3B"),
        ("?q=中€", "gb18030", "?q=%D6%D0%A2%E3"),
        ("?q=\U0001f4a9", "gb18030", "?q=%949%DA3"),
        ("?q=\ue5e5", "gb18030", "?q=%26%2358853%3B"),
        ("?q=\ue7c7ḿ", "gb18030", "?q=%815%F47%A8%BC"),
        ("?q=\ue81e龴", "gb18030", "?q=%FEY%FEY"),
    ],
)
def test_queries_are_encoded_as_the_page(href: str, encoding: str, written: str) -> None:
    found = with_query_in(href, encoding)
    assert found.replace("%25", "%") == written if encoding == "ISO-2022-JP" else found == written


@pytest.mark.parametrize("encoding", NAMES)
@given(st.text(alphabet=st.characters(min_codepoint=0x80, exclude_categories=["Cs"]), min_size=1, max_size=5))
def test_an_encoded_query_decodes_to_the_same_text(encoding: str, text: str) -> None:
    written = with_query_in(f"?{text}", encoding)
    assert written.isascii()
    for character in text:
        one = unquote_to_bytes(with_query_in(f"?{character}", encoding)[1:])
        decoded = one.decode(f"whatwg-{encoding.lower()}")
        same = {"¥": "\\", "‾": "~", "\u2212": "\uff0d"}.get(character, character)
        assert decoded in (character, same, f"&#{ord(character)};") or encoding in ("GBK", "gb18030", "ISO-2022-JP")
