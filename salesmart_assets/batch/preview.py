"""A few rows of a table for people who look in passing: in the UI, where personal data is hidden."""

from __future__ import annotations

from collections.abc import Collection

from salesmart_assets.contracts import HIDDEN
from salesmart_assets.lake import Snapshot
from salesmart_assets.reports.page import markdown_table

ROWS = 5
_LONGEST = 60


def preview(snapshot: Snapshot, slices: Collection[str] = ()) -> str:
    """The first rows of the slices named, or of the whole table where they hold none, as a Markdown table; empty without rows."""
    table = snapshot.table
    recent = snapshot.where(lambda file: any(file.value(name) in slices for name in table.partition_by))
    rows = (recent if recent.rows else snapshot).scan().head(ROWS).select(table.names).collect()
    if rows.is_empty():
        return ""
    hidden = {c.name for c in table.columns if c.pii}
    shown = [[_cell(value, hide=name in hidden) for name, value in zip(table.names, row, strict=True)] for row in rows.iter_rows()]
    return markdown_table(table.names, shown, numeric=0)


def _cell(value: object, *, hide: bool) -> str:
    if value is None:
        return ""
    if hide:
        return HIDDEN
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
