"""Pending slices survive every interleaving of touching, computing and clearing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salesmart_assets.ledger import Ledger
from salesmart_assets.publish.database import open_database

DAY = date(2026, 11, 1)


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    engine = open_database(database_url)
    opened = Ledger(engine)
    opened.create()
    yield opened
    engine.dispose()


def test_what_was_computed_is_cleared(ledger: Ledger) -> None:
    """A slice is cleared by the computation that took it."""
    ledger.touch({"fact_sales": ["2026-11-01", "2026-11-02"]}, DAY)
    ledger.clear(ledger.pending("fact_sales"))
    assert ledger.pending() == []


def test_a_touch_during_the_computation_stays(ledger: Ledger) -> None:
    """A slice that is touched while it is computed stays pending: what was computed did not know of the touch."""
    ledger.touch({"fact_sales": ["2026-11-01", "2026-11-02"]}, DAY)
    taken = ledger.pending("fact_sales")
    ledger.touch({"fact_sales": ["2026-11-02"]}, DAY)
    ledger.clear(taken)
    assert [item.slice for item in ledger.pending()] == ["2026-11-02"]


def test_cleared_and_touched_again_is_not_cleared_by_an_older_computation(ledger: Ledger) -> None:
    """A slice that another writer cleared, and that was touched since, is not cleared by what was computed before."""
    ledger.touch({"fact_sales": ["2026-11-01"]}, DAY)
    slow = ledger.pending("fact_sales")
    ledger.clear(ledger.pending("fact_sales"))
    ledger.touch({"fact_sales": ["2026-11-01"]}, DAY)
    ledger.clear(slow)
    assert [item.slice for item in ledger.pending()] == ["2026-11-01"]


def test_many_slices(ledger: Ledger) -> None:
    """Thousands of slices are touched and cleared at once."""
    names = [f"{2000 + n // 300}-{n % 12 + 1:02d}-{n % 28 + 1:02d}-{n}" for n in range(2_500)]
    ledger.touch({"fact_sales": names}, DAY)
    assert len(ledger.pending("fact_sales")) == len(names)
    ledger.clear(ledger.pending("fact_sales"))
    assert ledger.pending() == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(steps=st.lists(st.tuples(st.sampled_from(["touch", "take", "clear"]), st.integers(0, 2)), max_size=12))
def test_nothing_touched_is_ever_lost(ledger: Ledger, steps: list[tuple[str, int]]) -> None:
    """Whatever the order of touching, taking and clearing, a slice touched after it was taken is pending."""
    ledger.clear(ledger.pending())
    taken: list[object] = []
    stale: set[str] = set()
    fresh_since_take: set[str] = set()
    for verb, number in steps:
        if verb == "touch":
            ledger.touch({"t": [str(number)]}, DAY)
            stale.add(str(number))
            fresh_since_take.add(str(number))
        elif verb == "take":
            taken = list(ledger.pending("t"))
            fresh_since_take = set()
        else:
            ledger.clear(taken)  # type: ignore[arg-type]
            stale -= {item.slice for item in taken if item.slice not in fresh_since_take}  # type: ignore[attr-defined]
    assert {item.slice for item in ledger.pending("t")} == stale
