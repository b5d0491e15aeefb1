"""The benchmark of publication: that it runs, and that what it compares is the same."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import publish


def test_contestants_leave_the_same_table(tmp_path: Path) -> None:
    """A file that lies ready, salesmart and SQLAlchemy leave the same rows, and each of salesmart's turns writes what it must."""
    only = ["LOAD DATA of a ready file", "salesmart", "SQLAlchemy insert"]
    told = publish.measure(argparse.Namespace(rows=2_000, rounds=1, only=only, jar=tmp_path / "none.jar"))
    assert all(f"\n| {name} |" in told for name in only)
    written = [line.split("|")[2].strip() for line in told.splitlines() if "row in a hundred" in line or "nothing changed" in line]
    assert written == ["20", "0", "20"]


def test_changed_rows_are_one_in_a_hundred() -> None:
    """The changed month has the same customers in another order, and other values in one row of a hundred."""
    rows = publish.make_rows(1_000)
    changed = publish.change_rows(rows).sort_by("customer_id")
    assert changed["customer_id"] == rows["customer_id"]
    assert sum(a != b for a, b in zip(rows.to_pylist(), changed.to_pylist(), strict=True)) == 10
