"""docs/data-dictionary.md says what is so."""

from __future__ import annotations

from salesmart_assets_tests.project.dictionary import DOCUMENT, document


def test_the_dictionary_is_made_from_contracts_and_transformations() -> None:
    """The data dictionary names every table and column with its meaning, and what it is made of, as the code has it."""
    assert DOCUMENT.read_text("utf-8") == document(), "run: python -m salesmart_assets_tests.project.dictionary"
