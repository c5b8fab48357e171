"""`python -m tests.readme`: writes into README.md what is generated from the code: what makes a crawl incomplete."""

from __future__ import annotations

from pathlib import Path

from crawler.core.endings import table

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- missed: begin -->\n", "\n<!-- missed: end -->"


def written(text: str) -> str:
    """The README with the list as the code has it now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
