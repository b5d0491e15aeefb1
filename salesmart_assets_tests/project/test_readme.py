"""The README says what is so."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from salesmart_assets.cli import cli
from salesmart_assets.contracts.load import parse_contract
from salesmart_assets_tests.project.readme import PAGES, README, leaves, understood, with_parts

TEXT = README.read_text("utf-8")
ROOT = README.parent
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.DOTALL | re.MULTILINE)
COMMANDS = {path[1:]: command for path, command in leaves(cli, ("salesmart",))}
_PROGRAM = re.compile(r"^(?:\w+=\S+ )*(?:\.venv/bin/)?salesmart\b")


def shown_commands() -> list[str]:
    """Every command line of `salesmart` in a block for a shell, or between backticks in the text; not those with a placeholder."""
    lines = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    lines += re.findall(r"`(salesmart [^`]+)`", re.sub(r"<!-- commands -->.*<!-- /commands -->", "", PROSE, flags=re.DOTALL))
    return [line for line in lines if _PROGRAM.match(line) and "COMMAND" not in line]


def promises() -> list[str]:
    """The sentences under "What it promises"."""
    part = TEXT.partition("\n## What it promises\n")[2].partition("\n## ")[0]
    return re.findall(r"^- (.+)$", part, re.MULTILINE)


def kept() -> set[str]:
    """The docstrings of all tests, on one line each and without the numbers that some begin with."""
    found = set()
    for path in (ROOT / "salesmart_assets_tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.add(re.sub(r"^\d+\. ", "", " ".join((ast.get_docstring(node) or "").split())))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_made_from_the_code(page: Path) -> None:
    """The README's tables of settings, commands, columns and assets are those of the code; so is the reference."""
    assert with_parts(page) == page.read_text("utf-8"), "run: python -m salesmart_assets_tests.project.readme"


def test_each_promise_is_kept_by_a_test() -> None:
    """Each sentence under "What it promises" is the docstring of a test."""
    said, shown = promises(), kept()
    assert said
    assert [sentence for sentence in said if sentence not in shown] == []


@pytest.mark.parametrize("line", shown_commands())
def test_shown_commands_parse(line: str) -> None:
    """Every `salesmart …` that the README shows is understood: command, options and values."""
    arguments = shlex.split(_PROGRAM.sub("", line), comments=True)
    path = tuple(arguments[:2]) if tuple(arguments[:2]) in COMMANDS else tuple(arguments[:1])
    assert path in COMMANDS, f"{line}: no such command"
    assert isinstance(understood(COMMANDS[path], arguments[len(path) :]), click.Context)


def test_shown_targets_exist() -> None:
    """Every `make …` that the README shows is a target."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    blocks = "\n".join(block for kind, block in BLOCKS if kind == "sh")
    shown = set(re.findall(r"^make ([a-z-]+)", blocks, re.MULTILINE)) | set(re.findall(r"`make ([a-z-]+)", PROSE))
    assert shown
    assert shown <= targets


def test_shown_contracts_are_contracts() -> None:
    """A contract shown in the README can be used as it stands."""
    shown = re.findall(r"cat > contracts/(\w+)\.yaml <<'END'\n(.*?)^END$", TEXT, re.DOTALL | re.MULTILINE)
    assert shown
    for source, text in shown:
        assert parse_contract(text, f"{source}.yaml", source).source == source
