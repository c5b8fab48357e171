"""`python -m tests.readme`: writes into crawler/REFERENCE.md what is generated from the code.

Between `<!-- NAME: begin -->` and `<!-- NAME: end -->` is the output of the entry NAME of BLOCKS: the commands, what
makes a crawl incomplete, the other reasons, the fields of `--json`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from crawler.cli.group import COMMANDS
from crawler.core import endings
from crawler.metrics.summary import FIELDS

README = Path(__file__).resolve().parents[1] / "README.md"
REFERENCE = README.parent / "crawler" / "REFERENCE.md"


def _table(columns: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in rows)]
    return "\n".join(lines)


def commands() -> str:
    """Every command with its line of help."""
    return _table(("command", "what it does"), ((name, line) for name, (_, line) in COMMANDS.items()))


def answers() -> str:
    """The reasons that do not make a crawl incomplete."""
    rows = (
        (reason.value, entry.sentence) for reason, entry in endings.REASONS.items() if reason.value in endings.ANSWERS
    )
    return _table(("reason", "what happened"), rows)


def fields() -> str:
    """Every field of the JSON object."""
    return _table(("field", "what it is"), FIELDS.items())


BLOCKS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "missed": endings.table,
    "answers": answers,
    "fields": fields,
}


def begin(name: str) -> str:
    """The line above a block."""
    return f"<!-- {name}: begin -->\n"


def end(name: str) -> str:
    """The line below it."""
    return f"<!-- {name}: end -->"


def written(text: str) -> str:
    """The reference with its blocks as the code has them now."""
    for name, made in BLOCKS.items():
        before, _, rest = text.partition(begin(name))
        _, _, after = rest.partition(end(name))
        text = f"{before}{begin(name)}{made()}\n{end(name)}{after}"
    return text


if __name__ == "__main__":
    REFERENCE.write_text(written(REFERENCE.read_text()))
