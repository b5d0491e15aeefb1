"""CONTRIBUTING.md can be followed where it adds a source."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from salesmart_assets_tests.end_to_end.pages import ROOT, followed_in_processes

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def test_a_source_is_added_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sixth source is added by the steps of the guide alone: its files are read, checked, staged and accounted for."""
    shutil.copytree(ROOT / "salesmart_assets", tmp_path / "code" / "salesmart_assets", ignore=shutil.ignore_patterns("__pycache__"))
    part = TEXT.partition("## Add a source\n")[2].partition("\n## ")[0]
    diffs = re.findall(r"^```diff\n--- (\S+)\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
    assert len(diffs) == 4
    for name, lines in diffs:
        path = tmp_path / "code" / name
        before, after = ("".join(f"{line[1:]}\n" for line in lines.splitlines() if line[0] in kinds).rstrip("\n") for kinds in (" -", " +"))
        text = path.read_text("utf-8")
        assert text.count(before) == 1, f"{name} has not this, once:\n{before}"
        path.write_text(text.replace(before, after), "utf-8")
    ((name, contract),) = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
    (tmp_path / "code" / name).write_text(contract, "utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "code"), *filter(None, [os.environ.get("PYTHONPATH")])]))
    home = tmp_path / "home"
    home.mkdir()
    assert followed_in_processes(TEXT, home) == TEXT
