"""What docs/warehouse.md prints and lists.

`python -m salesmart_assets_tests.end_to_end.worked_example` writes it anew, with `--checks` only the list of checks.
A block of the kind `text` is what the commands of the block before it print. Where it begins with `…`, it is the end of that.
Belongs here: how the page's commands are run. Does not belong here: what the figures must be (`test_worked_example.py`).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from salesmart_assets.checks import ALL_CHECKS
from salesmart_assets.definitions import defs

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "warehouse.md"
LEFT_OUT = "…"
_CONSEQUENCE = {True: "the run stops", False: "the run goes on"}
_BLOCK = re.compile(r"^```sh\n(?P<commands>.*?)^```\n(?:\n^```text\n(?P<printed>.*?)^```\n)?", re.DOTALL | re.MULTILINE)


def followed(text: str, folder: Path, **settings: str) -> str:
    """The page as it is when all of its commands, in order, were run in an empty folder; `settings` are variables of the environment."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SALESMART_", "DAGSTER_"))}
    environment = {**kept, **settings, "NO_COLOR": "1", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(block: re.Match[str]) -> str:
        commands, shown = block["commands"], block["printed"]
        done = subprocess.run(
            ["bash", "-e", "-c", commands], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        if shown is None:
            return block[0]
        printed = done.stdout
        if shown.startswith(LEFT_OUT):
            printed = "".join([f"{LEFT_OUT}\n", *printed.splitlines(keepends=True)[-(len(shown.splitlines()) - 1) :]])
        return f"```sh\n{commands}```\n\n```text\n{printed}```\n"

    return _BLOCK.sub(run, text)


def with_checks(text: str) -> str:
    """The page with its list of checks made anew: those of the warehouse and the marts, in the order of the flow."""
    graph = defs.resolve_asset_graph()
    lines = ["| table | check | what it protects | if it fails |", "| --- | --- | --- | --- |"]
    for key in graph.toposorted_asset_keys:
        if graph.get(key).group_name in ("warehouse", "marts"):
            specs = [spec for check in ALL_CHECKS for spec in check.check_specs if spec.asset_key == key]
            lines += [f"| `{key.to_user_string()}` | `{s.name}` | {s.description} | {_CONSEQUENCE[s.blocking]} |" for s in specs]
    return re.sub(r"(<!-- checks -->\n).*(<!-- /checks -->)", lambda m: m[1] + "\n".join(lines) + "\n" + m[2], text, flags=re.DOTALL)


if __name__ == "__main__":
    page = with_checks(DOCUMENT.read_text("utf-8"))
    if "--checks" not in sys.argv:
        with tempfile.TemporaryDirectory() as empty:
            page = followed(page, Path(empty))
    DOCUMENT.write_text(page, "utf-8")
