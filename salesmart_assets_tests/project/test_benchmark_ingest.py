"""The benchmark of ingestion: that it runs, and compares what is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import ingest


def test_contestants_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The contestants are given the same files, and find the same rows and the same sum of total_cost in them."""
    clean = next(case for case in ingest.CASES if case.name == "clean CSV")
    files, rows = ingest.make_files(clean, 1_000_000, tmp_path)
    last = {name: ingest.turn(name, files) for name in clean.contestants}
    ingest.check(clean, rows, last)
    assert len({(run.rows, run.total) for run in last.values()}) == 1
    measured = [ingest.Measured(clean, name, 1_000_000, (run,)) for name, run in last.items()]
    assert ingest.table(measured).count("\n") == 1 + len(clean.contestants)
    ingest.plot(measured, tmp_path / "ingest.svg")
    assert (tmp_path / "ingest.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")


def test_disagreement_is_told() -> None:
    """A contestant that loses a row, or a cent, stops the benchmark."""
    case = ingest.CASES[0]
    whole = ingest.Run(1.0, 1.0, 1, 2, "3.00")
    with pytest.raises(AssertionError, match="accounts for 1 of 2"):
        ingest.check(case, 2, {"salesmart": ingest.Run(1.0, 1.0, 1, 1, "3.00")})
    with pytest.raises(AssertionError, match="do not agree"):
        ingest.check(case, 2, {"salesmart": whole, "DuckDB COPY": ingest.Run(1.0, 1.0, 1, 2, "3.01")})
