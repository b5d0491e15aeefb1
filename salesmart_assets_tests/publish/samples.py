"""Tables and rows that the tests of publication share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa

from salesmart_assets.contracts import Column, ColumnType, Table
from salesmart_assets.publish import SliceLoad

NOVEMBER, OCTOBER = "2026-11-01", "2026-10-01"


def column(name: str, type_name: str, *, required: bool = False) -> Column:
    return Column(name, ColumnType(type_name), f"The {name}.", nullable=not required)


EVERY_TYPE = Table(
    "every_type",
    "marts",
    "one member in one month",
    (
        column("sales_month", "date", required=True),
        column("customer_id", "integer", required=True),
        column("note", "string"),
        column("amount", "decimal(28,2)"),
        column("fine", "decimal(38,10)"),
        column("is_fresh", "boolean"),
        column("day", "date"),
        column("seen_at", "timestamp"),
    ),
    ("sales_month", "customer_id"),
    ("sales_month",),
)
TEAM = Table(
    "team",
    "marts",
    "one seller in one month",
    (
        column("sales_month", "date", required=True),
        column("sales_person_id", "integer", required=True),
        column("total_sales", "decimal(28,2)", required=True),
    ),
    ("sales_month", "sales_person_id"),
    ("sales_month",),
)
MEMBERS = Table(
    "dim_member",
    "warehouse",
    "one version of a member",
    (column("member_key", "integer", required=True), column("store_id", "string"), column("price", "decimal(18,2)")),
    ("member_key",),
)
TABLES = (EVERY_TYPE, TEAM, MEMBERS)


def every_type(customer_id: int, month: str = NOVEMBER, **values: Any) -> dict[str, Any]:
    usual = {
        "sales_month": date.fromisoformat(month),
        "customer_id": customer_id,
        "note": f"note {customer_id}",
        "amount": Decimal("12.30"),
        "fine": Decimal("0.0000000001"),
        "is_fresh": True,
        "day": date(2026, 11, 5),
        "seen_at": datetime(2026, 11, 5, 12, 30, 0, 7, tzinfo=timezone.utc),
    }
    return usual | values


def load(table: Table, rows: list[dict[str, Any]], version: int = 1, name: str = NOVEMBER) -> SliceLoad:
    made = pa.Table.from_pylist(rows, schema=table.arrow)
    return SliceLoad(table, name, version, lambda: made)


def team_load(total: int, sellers: int = 3, version: int = 1, month: str = NOVEMBER) -> SliceLoad:
    """Every seller sold `total`."""
    day = date.fromisoformat(month)
    return load(TEAM, [{"sales_month": day, "sales_person_id": i, "total_sales": Decimal(total)} for i in range(sellers)], version, month)


def member_load(total: int, members: int = 2, version: int = 1) -> SliceLoad:
    return load(MEMBERS, [{"member_key": i, "store_id": "121", "price": Decimal(total)} for i in range(members)], version, "all")


@dataclass
class Lake:
    """Remembers all loads, and gives each the rows that were there before, as the lake does."""

    kept: dict[tuple[str, str, int, str], pa.Table] = field(default_factory=dict)

    def __call__(self, made: SliceLoad) -> SliceLoad:
        files = f"file-{len(self.kept)}"
        self.kept[(*made.name, made.lake_version, files)] = made.read()
        return replace(made, files=files, earlier=lambda version, files: self.kept.get((*made.name, version, files)))
