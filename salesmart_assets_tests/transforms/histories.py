"""Random histories, small and dense enough that days, names, ties and circles meet."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from .staged import Row, staged_rows

FIRST = date(2026, 1, 24)
SALES_DAYS = st.integers(0, 20).map(lambda n: FIRST + timedelta(n))
"""Late January to the middle of February."""


def days(last: int = 12) -> st.SearchStrategy[date]:
    """A day among few, so that things happen on the same one."""
    return st.integers(0, last).map(lambda n: FIRST + timedelta(n))


MONEY = st.sampled_from([Decimal(x) for x in ("0.00", "0.50", "1.00", "1.05", "9.99", "33.35")])
MEMBERS = st.integers(1, 3)

_ATTRIBUTES: dict[str, dict[str, st.SearchStrategy[object]]] = {
    "customers": {"customer_id": MEMBERS, "last_name": st.sampled_from(["A", "B"]), "address": st.sampled_from([None, "x", "y"])},
    "stores": {"store_id": MEMBERS, "address": st.sampled_from([None, "x", "y"])},
    "products": {
        "product_id": MEMBERS,
        "name": st.sampled_from(["soap", "tea"]),
        "price": MONEY,
        "cost": st.none() | MONEY,
        "category": st.sampled_from([None, "home"]),
    },
    "sales_team": {
        "sales_person_id": st.integers(1, 4),
        "manager_id": st.none() | st.integers(1, 5),
        "last_name": st.sampled_from(["A", "B"]),
        "joining_date": st.none() | days(3),
    },
}


def history(source: str, max_size: int = 10) -> st.SearchStrategy[list[Row]]:
    """Deliveries of a state source, in random order of arrival, from few files."""
    columns: dict[str, st.SearchStrategy[object]] = {
        **_ATTRIBUTES[source],
        "batch_date": days(),
        "effective_date": st.none() | days(),
        "source_file": st.sampled_from(["a", "b"]),
    }
    return st.lists(st.fixed_dictionaries(columns), max_size=max_size).map(lambda rows: staged_rows(source, rows))


def sales(max_size: int = 25, min_size: int = 0) -> st.SearchStrategy[list[Row]]:
    """Sold lines, some delivered again, some of members whom nobody knows."""
    columns: dict[str, st.SearchStrategy[object]] = {
        "customer_id": st.integers(1, 4),
        "store_id": st.integers(1, 2),
        "sales_person_id": st.integers(1, 5),
        "sales_date": SALES_DAYS,
        "product_name": st.sampled_from(["soap", "tea", "salt"]),
        "product_id": st.sampled_from([None, None, 1, 2, 9]),
        "total_cost": MONEY,
        "quantity": st.integers(1, 3),
        "transaction_id": st.sampled_from([None, "t1", "t2"]),
        "line_number": st.sampled_from([None, 1, 2]),
        "batch_date": days(),
        "source_file": st.sampled_from(["a", "b"]),
    }
    rows = st.lists(st.fixed_dictionaries(columns), max_size=max_size, min_size=min_size)
    return rows.map(lambda found: staged_rows("sales", ({**r, "file_id": ord(str(r["source_file"]))} for r in found)))
