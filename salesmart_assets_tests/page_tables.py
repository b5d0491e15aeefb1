"""Tables of the documentation that tests compare with what the program gives: the page is what is asked for, so it is read."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def table_of(page: str, part: str) -> list[list[str]]:
    """The rows of the table between `<!-- part -->` and `<!-- /part -->` of a page, without the header and without backticks."""
    text = (DOCS / page).read_text("utf-8")
    _, begin, rest = text.partition(f"<!-- {part} -->\n")
    body, end, _ = rest.partition(f"<!-- /{part} -->")
    assert begin, f"{page} has no part {part}"
    assert end, f"the part {part} of {page} does not end"
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in body.splitlines()[2:]]
