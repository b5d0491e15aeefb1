"""docs/warehouse.md can be followed, and prints what it says."""

from __future__ import annotations

from pathlib import Path

from salesmart_assets_tests.end_to_end.pages import followed
from salesmart_assets_tests.end_to_end.worked_example import DOCUMENT, with_checks

TEXT = DOCUMENT.read_text("utf-8")
ANEW = "run: python -m salesmart_assets_tests.end_to_end.worked_example"


def test_the_worked_example_prints_what_it_shows(tmp_path: Path) -> None:
    """The worked example can be followed command by command, and each of its results is what the program prints."""
    assert followed(TEXT, tmp_path) == TEXT, ANEW


def test_the_checks_are_those_of_the_graph() -> None:
    """The page lists every check of the warehouse and the marts, with what it protects."""
    assert with_checks(TEXT) == TEXT, f"{ANEW} --checks"
