"""--help shows every option once, in its group, and examples that are command lines."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from crawler.cli.crawl import crawl
from crawler.cli.group import COMMANDS, EXAMPLES, cli
from crawler.cli.options import SECTIONS
from crawler.cli.resume import resume


@pytest.mark.parametrize("command", [crawl, resume], ids=["crawl", "resume"])
def test_every_option_is_shown_once(command: click.Command) -> None:
    told = command.get_help(click.Context(command))
    for option in (one for one in command.params if isinstance(one, click.Option)):
        shown = re.findall(rf"^  (?:-\w, )?{option.opts[-1]}(?=  | [A-Z\[/]|$)", told, re.MULTILINE)
        assert len(shown) == 1, option.opts


def test_the_groups_and_the_examples_are_shown_with_the_command_as_it_was_called() -> None:
    told = cli.get_help(click.Context(cli, info_name="python -m crawler"))
    assert all(f"\n{title}:\n" in told for title in SECTIONS)
    assert all(f"  python -m crawler {words}".rstrip() in told for words, _ in EXAMPLES)


@pytest.mark.parametrize("words", [words for words, _ in EXAMPLES])
def test_the_examples_can_be_parsed(words: str) -> None:
    name, *arguments = [*shlex.split(words)] or ["crawl"]
    if name not in COMMANDS:
        name, arguments = "crawl", [name, *arguments]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    command.make_context(name, arguments)
