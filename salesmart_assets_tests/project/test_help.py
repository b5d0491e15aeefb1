"""What `--help` and the Tab key tell of each command."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from salesmart_assets.cli import cli
from salesmart_assets_tests.project.readme import leaves, understood

COMMANDS = dict(leaves(cli, ("salesmart",)))
_TABBED = """
eval "$(_SALESMART_COMPLETE=bash_source salesmart)"
COMP_WORDS=({words}) COMP_CWORD={last}
_salesmart_completion salesmart
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_ends_with_examples(path: tuple[str, ...]) -> None:
    """The help of every command ends with examples of it, and each of them is understood: command, options and values."""
    shown = CliRunner().invoke(cli, [*path[1:], "--help"], terminal_width=110)
    assert shown.exit_code == 0, shown.output
    _, heading, rest = shown.output.partition("\n  Examples:\n")
    assert heading, shown.output
    lines = [shlex.split(line.partition(" > ")[0], comments=True) for line in rest.strip().splitlines()]
    assert any(tuple(words[: len(path)]) == path for words in lines)
    for words in lines:
        named = next(known for known in COMMANDS if tuple(words[: len(known)]) == known)
        assert isinstance(understood(COMMANDS[named], words[len(named) :]), click.Context)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("salesmart la", ["land", "landing"]),
        ("salesmart land sales.csv --source s", ["sales", "stores", "sales_team"]),
        ("salesmart landing ''", ["get", "ls", "rm"]),
        ("salesmart query --fo", ["--format"]),
    ],
)
def test_the_tab_key_completes(words: str, offered: list[str]) -> None:
    """In bash the Tab key completes commands, options and their values."""
    script = _TABBED.format(words=words, last=len(words.split()) - 1)
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    done = subprocess.run(["bash", "--norc", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (offered, "")


def test_without_a_command_the_help_is_shown() -> None:
    """`salesmart` alone shows its help, and ends with 2, for nothing was done."""
    done = subprocess.run([sys.executable, "-m", "salesmart_assets.cli"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("Usage: ")
