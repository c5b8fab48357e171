"""What was read of pages on its way to the next re-crawl: encoded, kept by each process, lost without harm."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.messages import Fetched
from crawler.core.reasons import NotFollowed
from crawler.core.rules import Rules
from crawler.pipeline.readings import ReadingCodec
from crawler.storage.readings import AT_ONCE, FOLDER, ReadingWriter, readings, remove_readings

LINKS = ("http://a.test/1", "http://a.test/2")
OTHERS = ((NotFollowed.SCHEME, 2),)
EVENT = Fetched(1, 200, LINKS, cut=3, content_type="text/html", fingerprint=(2**63, 7), not_followed=OTHERS)


def test_what_was_read_comes_back() -> None:
    codec = ReadingCodec(Rules())
    kept = codec.decode(codec.encode(EVENT))
    assert kept is not None
    assert (kept.links, kept.cut) == (EVENT.links, EVENT.cut)
    facts = kept.fingerprint, kept.not_followed, kept.content_type
    assert facts == (EVENT.fingerprint, EVENT.not_followed, EVENT.content_type)
    assert codec.decode(codec.encode(Fetched(1, 200))) is not None


@pytest.mark.parametrize(
    ("rules", "same"),
    [
        (Rules(delay=5.0), True),
        (Rules(user_agent="another/1.0"), False),
        (Rules(max_links=7), False),
        (Rules(exclude=("x",)), False),
        (Rules(respell=False), False),
    ],
)
def test_it_is_not_taken_under_other_rules(rules: Rules, same: bool) -> None:
    assert (ReadingCodec(rules).decode(ReadingCodec(Rules()).encode(EVENT)) is not None) is same


@given(st.binary(max_size=64))
def test_damage_is_not_taken(noise: bytes) -> None:
    assert ReadingCodec(Rules()).decode(noise) is None


def test_each_process_keeps_its_own_and_all_of_it_is_found(tmp_path: Path) -> None:
    rows = [(f"http://a.test/{number}", b"digest", b"facts") for number in range(AT_ONCE + 3)]
    for some in (rows[:2], rows[2:]):
        writer = ReadingWriter(tmp_path)
        for row in some:
            writer.put(*row)
        writer.close()
    assert len(list((tmp_path / FOLDER).glob("*.sqlite"))) == 2
    assert sorted(readings(tmp_path)) == sorted(rows)
    remove_readings(tmp_path)
    assert not (tmp_path / FOLDER).exists() and list(readings(tmp_path)) == []


def test_nothing_is_written_where_nothing_was_read(tmp_path: Path) -> None:
    ReadingWriter(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_or_read_costs_nothing_but_the_readings(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("no folder")
    writer = ReadingWriter(tmp_path)
    for _ in range(2 * AT_ONCE):
        writer.put("http://a.test/", b"digest", b"facts")
    writer.close()
    (tmp_path / FOLDER).unlink()
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "1-a.sqlite").write_bytes(b"not a database")
    assert list(readings(tmp_path)) == []


def test_what_a_version_kept_that_knew_fewer_facts_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = ReadingCodec(Rules())
    monkeypatch.setattr(codec, "_encode", lambda kept: msgspec.msgpack.encode([kept.links, kept.cut]))
    assert codec.decode(codec.encode(EVENT)) is None
