"""The benchmark of the warehouse: that it runs, and that what it compares is the same."""

from __future__ import annotations

import argparse

from benchmarks import warehouse


def test_the_script_by_hand_makes_the_same_fact() -> None:
    """The fact and what a script for DuckDB makes of the same files agree in rows, sums and keys; else the benchmark stops."""
    table = warehouse.measure_fact(argparse.Namespace(fact_rows=3_000, rounds=1))
    assert "| salesmart |" in table
    assert "| DuckDB script |" in table


def test_days_and_customers_are_measured() -> None:
    """Each step of each day is timed, and a dimension of which a little changes is brought up to date."""
    assert warehouse.measure_days(argparse.Namespace(rows=500, days=3)).count("\n| ") == 7
    assert "| brought up to date |" in warehouse.measure_customers(argparse.Namespace(customers=500))
