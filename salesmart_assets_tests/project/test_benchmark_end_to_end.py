"""The benchmark of a whole day: that the scripts by hand agree, and that a wrong figure would be seen."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import end_to_end


def test_scripts_that_agree_are_compared(tmp_path: Path) -> None:
    """What the contestants published is compared to the cent; where a figure differs, the benchmark stops."""
    files = tmp_path / "files"
    size, rows = end_to_end.make_files(300_000, files)
    assert size == pytest.approx(300_000, rel=0.05)
    assert rows > 2_000
    turns = {name: [end_to_end.take_turn(name, files, tmp_path / name)] for name in ("DuckDB script", "Polars script")}
    end_to_end.compare(turns)
    assert all(taken[0].seconds > 0 for taken in turns.values())
    with sqlite3.connect(tmp_path / "Polars script" / "marts.db") as database:
        database.execute("UPDATE sales_team_mart SET incentive = incentive + 0.01 WHERE incentive > 0")
    database.close()
    wrong = replace(turns["Polars script"][0], answer=end_to_end.answer(tmp_path / "Polars script" / "marts.db"))
    with pytest.raises(AssertionError, match="published other figures"):
        end_to_end.compare({**turns, "Polars script": [wrong]})
