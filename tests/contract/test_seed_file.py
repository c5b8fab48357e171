"""Seeds from a file: what is read, and what is refused with its line number."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from crawler.errors import UsageError
from crawler.settings import seed_file
from crawler.settings.seed_file import LONGEST_LINE, read_seeds


def test_urls_are_read_once_each_and_in_order(tmp_path: Path) -> None:
    file = tmp_path / "seeds"
    file.write_bytes(
        b"\xef\xbb\xbf# mine\r\nhttp://B.test\r\n\r\n  http://a.test/x#y \nhttp://b.test/\n # no\nhttp://c.test/"
    )
    assert read_seeds(str(file)) == ("http://b.test/", "http://a.test/x", "http://c.test/")


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"http://a.test/\n")))
    assert read_seeds("-") == ("http://a.test/",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"http://a.test/\n\nftp://a.test/\n", "line 3: cannot crawl"),
        (b"#\nlocalhost:80", "line 2: not a URL: 'localhost:80'; did you mean http://localhost:80"),
        (b"http://a.test/\nhttp://\xff/", "line 2: not UTF-8"),
        (b"http://a.test/" + b"a" * LONGEST_LINE, "line 1: longer than 65,536 bytes"),
        (b"# none\n\n", "has no URLs"),
        (b"", "has no URLs"),
        (b"http://a.test/1\nhttp://a.test/2\nhttp://a.test/3", "more than 2 URLs"),
    ],
)
def test_what_cannot_be_crawled_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, words: str
) -> None:
    monkeypatch.setattr(seed_file, "MOST_SEEDS", 2)
    (tmp_path / "seeds").write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read_seeds(str(tmp_path / "seeds"))
    assert words in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the seeds of .*none: No such file"):
        read_seeds(str(tmp_path / "none"))
