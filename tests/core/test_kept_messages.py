"""Messages that a frontier stores as JSON: their format on disk does not depend on the names of their classes."""

from __future__ import annotations

import msgspec
import pytest

from crawler.core.messages import Budget, Cookie, Link, Message, OutboxLink

KEPT: list[tuple[Message, str]] = [
    (
        Link(7, "http://a.test/b", 2, ("http://a.test/",), 1, 500, 3),
        '["Link",7,"http://a.test/b",2,["http://a.test/"],1,500,3]',
    ),
    (
        OutboxLink(13, 1, Link(129, "http://b.test/", 2), admitted=True, beyond=False),
        '["Foreign",13,1,["Link",129,"http://b.test/",2,[],0,0,0],true,false]',
    ),
    (Cookie("/", "id", "7", 12.5), '["Cookie","/","id","7",12.5]'),
    (
        Budget("http://a.test", 5, 40, None, b"\x01", b"\x02", "calendar", (1, 2), ("segment", "http://a.test/", "")),
        '["Budget","http://a.test",5,40,null,"AQ==","Ag==","calendar",[1,2],["segment","http://a.test/",""]]',
    ),
]


@pytest.mark.parametrize(("message", "line"), KEPT, ids=lambda value: type(value).__name__)
def test_the_stored_form_of_each_message_is_unchanged(message: Message, line: str) -> None:
    assert msgspec.json.encode(message).decode() == line
    assert msgspec.json.decode(line, type=type(message)) == message


def test_messages_stored_by_the_first_version_are_read() -> None:
    old = '["Foreign",13,1,["Link",129,"http://b.test/",2,[],0,0,0]]'
    assert msgspec.json.decode(old, type=OutboxLink) == OutboxLink(13, 1, Link(129, "http://b.test/", 2))
    assert msgspec.json.decode('["Budget","http://a.test",5,40]', type=Budget) == Budget("http://a.test", 5, 40)
