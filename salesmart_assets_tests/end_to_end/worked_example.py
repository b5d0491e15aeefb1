"""What docs/warehouse.md prints and lists.

`python -m salesmart_assets_tests.end_to_end.worked_example` writes it anew, with `--checks` only the list of checks.
Belongs here: which parts of the page are made. Does not belong here: how commands are run (`pages`), and what the figures must be
(`test_worked_example.py`).
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from salesmart_assets.checks import ALL_CHECKS
from salesmart_assets.definitions import defs
from salesmart_assets_tests.end_to_end.pages import followed

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "warehouse.md"
_CONSEQUENCE = {True: "the run stops", False: "the run goes on"}


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
