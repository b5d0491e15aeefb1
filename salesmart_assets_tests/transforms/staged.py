"""Staged rows for tests: what is not said is filled in, and every row has an origin of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa

from salesmart_assets.contracts import Table, build_tables, load_contracts

CONTRACTS = load_contracts()
TABLES = build_tables(CONTRACTS)
DIMENSION_SOURCES = {"dim_customer": "customers", "dim_store": "stores", "dim_product": "products", "dim_sales_person": "sales_team"}
Row = dict[str, Any]

_DEFAULTS: Mapping[str, Row] = {
    "sales": {"product_name": "soap", "price": Decimal("10.00"), "quantity": 1, "total_cost": Decimal("10.00")},
    "customers": {"first_name": "Ann", "last_name": "Lee"},
    "stores": {},
    "products": {"name": "soap", "price": Decimal("10.00")},
    "sales_team": {"first_name": "Sam", "last_name": "Poe", "is_manager": False},
}


def staged_rows(source: str, rows: Iterable[Row]) -> list[Row]:
    """Complete rows of the staging table of `source`."""
    names = TABLES[f"stg_{source}"].names
    return [
        {
            **dict.fromkeys(names),
            "source_file": "s3://shop/landing/f.csv",
            "source_row": number,
            "file_id": 1,
            "batch_date": date(2026, 1, 1),
            **_DEFAULTS[source],
            **row,
        }
        for number, row in enumerate(rows, start=1)
    ]


def arrow(rows: Iterable[Row], table: Table) -> pa.Table:
    """Rows as an Arrow table of the declared types."""
    return pa.Table.from_pylist(list(rows), schema=table.arrow)


def staged(source: str, rows: Iterable[Row]) -> pa.Table:
    """An Arrow table of the staging table of `source`."""
    return arrow(staged_rows(source, rows), TABLES[f"stg_{source}"])


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Rows in an order that depends on their values alone."""
    return sorted(rows, key=lambda row: tuple((value is not None, str(value)) for value in row.values()))
