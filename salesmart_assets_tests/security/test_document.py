"""docs/secrets.md can be followed, and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from salesmart_assets_tests.end_to_end.pages import followed_in_processes

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "secrets.md"
TEXT = DOCUMENT.read_text("utf-8")


def test_the_page_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/secrets.md says about encrypted settings can be followed command by command, and is what the program prints."""
    project = tmp_path / "person" / "project"
    project.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    assert followed_in_processes(TEXT, project) == TEXT


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)\s]+)\)", TEXT))
def test_links_lead_somewhere(link: str) -> None:
    """Files that the page links to exist."""
    assert (DOCUMENT.parent / link).exists()
