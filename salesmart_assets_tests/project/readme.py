"""The parts of README.md and of docs/reference that are made from the code.

`python -m salesmart_assets_tests.project.readme` writes them anew.

A part stands between `<!-- NAME -->` and `<!-- /NAME -->`. Belongs here: how each part is made. Does not belong here:
what the pages must keep to (`test_readme.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
from click.testing import CliRunner
from pydantic import BaseModel, SecretStr

from salesmart_assets.cli import cli
from salesmart_assets.contracts import SOURCES, load_contracts
from salesmart_assets.definitions import defs
from salesmart_assets.settings import PREFIX, Settings

README = Path(__file__).parent.parent.parent / "README.md"
REFERENCE = README.parent / "docs" / "reference"


def settings() -> str:
    """Every setting: variable, default, meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        value = field.default
        assert not isinstance(value, SecretStr), f"{name} has a secret as its default"
        if isinstance(value, tuple):
            value = "; ".join(_policy(item) for item in value)
        rows.append((f"`{PREFIX}{name.upper()}`", f"`{value}`" if value not in (None, "", {}) else "", field.description or ""))
    return _table(("variable", "default", "meaning"), rows)


def _policy(policy: BaseModel) -> str:
    return ", ".join(f"{name}={value}" for name, value in policy.model_dump().items())


def commands() -> str:
    """Every command, with its arguments and options, and what it does."""
    rows = [(f"`{usage}`", (command.help or "").strip()) for usage, command in usages()]
    return _table(("command", "what it does"), rows)


def usages() -> Iterator[tuple[str, click.Command]]:
    """Every command as it is written, `land FILE... --source SOURCE …`, in the order of the source."""
    for path, command in leaves(cli, ("salesmart",)):
        arguments = [p.make_metavar(click.Context(command)) for p in command.params if isinstance(p, click.Argument)]
        options = [_option(p) for p in command.params if isinstance(p, click.Option)]
        yield " ".join([*path, *arguments, *options]), command


def leaves(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The commands below a group that are no groups themselves, with their full names."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


def understood(command: click.Command, arguments: list[str]) -> click.Context:
    """The arguments as the command reads them, without running it. Raises `click.UsageError` for those that it does not take."""
    # Below the program, as when it is run: a command keeps the help option of the first context it is given.
    return command.make_context(command.name, arguments, parent=click.Context(cli, **cli.context_settings))


def _option(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.metavar or _placeholder(option)}"
    text = f"{option.opts[0]}{value}"
    return text if option.required else f"[{text}]"


def _placeholder(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        few = len(option.type.choices) < 4
        return "|".join(option.type.choices) if few else option.opts[0].strip("-").upper()
    return {"date": "DATE", "path": "FILE"}.get(option.type.name, "N")


def columns() -> str:
    """The mandatory columns of each source, and the others that are known."""
    rows = []
    for source, contract in load_contracts().items():
        required = [f"`{name}`" for name, column in contract.columns.items() if column.required]
        others = [f"`{name}`" for name, column in contract.columns.items() if not column.required]
        rows.append((f"`{source}`", ", ".join(required), ", ".join(others)))
    return _table(("source", "mandatory", "optional"), rows)


def assets() -> str:
    """The assets of the graph, by group in the order of the flow, with their descriptions; those of the five sources as one."""
    graph = defs.resolve_asset_graph()
    found: dict[str, dict[str, str]] = {}
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        name, told = key.to_user_string(), node.description or ""
        for source in sorted(SOURCES, key=len, reverse=True):
            if name in (f"raw_{source}", f"stg_{source}"):
                name = f"{name.removesuffix(source)}SOURCE"
                told = told.replace(f"the source `{source}`", "a source").replace(f"the `{source}` files", "a source's files")
                told = told.replace(f"a {source} file", "a file")
        found.setdefault(node.group_name, {})[name] = told
    rows = [(group, f"`{name}`", told) for group, names in found.items() for name, told in names.items()]
    return _table(("group", "asset", "what it is"), rows)


def helps() -> str:
    """What `--help` says of every command."""
    parts = []
    for path, _ in leaves(cli, ("salesmart",)):
        said = CliRunner().invoke(cli, [*path[1:], "--help"], prog_name="salesmart", terminal_width=110).output
        parts.append(f"## {' '.join(path)}\n\n```text\n{said.strip()}\n```\n")
    return "\n".join(parts)


_PARTS = {"assets": assets, "columns": columns, "commands": commands, "helps": helps, "settings": settings}
PAGES = {
    README: ("assets", "columns", "commands", "settings"),
    REFERENCE / "command-line.md": ("helps",),
    REFERENCE / "settings.md": ("settings",),
}
"""The pages with parts that are made."""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines)


def with_parts(page: Path) -> str:
    """The text of a page with each of its parts made anew. Raises `LookupError` if one is not marked in it."""
    text = page.read_text("utf-8")
    for name in PAGES[page]:
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise LookupError(f"{page.name} needs one part that begins with {begin.strip()} and ends with {end}.")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{_PARTS[name]()}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_parts(page), "utf-8")
