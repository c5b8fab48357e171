"""What a shell gets that completes a command line, by Click's protocol and in a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHELLS = ("bash", "zsh", "fish")


def ask(*words: str, cwd: Path, instruction: str = "bash_complete") -> subprocess.CompletedProcess[str]:
    """Ask as bash does. The last word is the one to complete."""
    environment = os.environ | {
        "_CRAWLER_COMPLETE": instruction,
        "COMP_WORDS": " ".join(["crawler", *words]),
        "COMP_CWORD": str(len(words)),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-m", "crawler"]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=30)


def offered(*words: str, cwd: Path) -> set[str]:
    return {line.partition(",")[2] for line in ask(*words, cwd=cwd).stdout.splitlines()}


@pytest.mark.parametrize(
    ("words", "some"),
    [
        ([""], {"crawl", "resume", "export", "completion"}),
        (["re"], {"resume", "report", "repair"}),
        (["--mo"], {"--mode"}),
        (["--mode", "p"], {"processes", "prefork"}),
        (["http://a.test/", "--client", ""], {"native", "aiohttp", "curl", "urllib3"}),
        (["resume", "d", "--profile", ""], {"polite", "fast", "demo"}),
        (["resume", "d", "--retry-reason", "time"], {"timeout"}),
        (["compare", "--preset", "s"], {"smoke", "standard"}),
        (["compare", ""], {"resume", "report", "verify", "merge", "lessons", "advise"}),
        (["testweb", "s"], {"serve"}),
        (["completion", ""], set(SHELLS)),
    ],
)
def test_a_shell_is_offered_what_there_is(words: list[str], some: set[str], tmp_path: Path) -> None:
    found = offered(*words, cwd=tmp_path)
    assert some <= found
    assert all(one.startswith(words[-1]) for one in found)


@pytest.mark.parametrize(
    ("words", "kind"), [(["status", "c"], "dir"), (["--out", "c"], "dir"), (["--config", "c"], "file")]
)
def test_paths_are_completed_by_the_shell_itself(words: list[str], kind: str, tmp_path: Path) -> None:
    assert ask(*words, cwd=tmp_path).stdout.strip() == f"{kind},c"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_the_one_that_click_users_expect_and_nothing_is_crawled(shell: str, tmp_path: Path) -> None:
    usual = ask(cwd=tmp_path, instruction=f"{shell}_source")
    command = [sys.executable, "-m", "crawler", "completion", shell]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ours = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)
    assert (usual.returncode, ours.returncode) == (0, 0)
    assert "_CRAWLER_COMPLETE" in usual.stdout and usual.stdout.strip() == ours.stdout.strip()
    assert list(tmp_path.iterdir()) == []


def test_bash_accepts_the_script(tmp_path: Path) -> None:
    script = ask(cwd=tmp_path, instruction="bash_source").stdout
    checked = subprocess.run(["bash"], input=f"{script}\ncomplete -p crawler\n", capture_output=True, text=True)
    assert checked.stdout == "complete -o nosort -F _crawler_completion crawler\n" and not checked.stderr


def test_an_unknown_shell_is_refused_in_one_line(tmp_path: Path) -> None:
    ran = ask(cwd=tmp_path, instruction="tcsh_source")
    assert ran.returncode == 2 and ran.stderr.startswith("error: bad value for _CRAWLER_COMPLETE")
    assert ran.stdout == "" and list(tmp_path.iterdir()) == []
