"""A small lake by hand, and a reader of pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest

from salesmart_assets.contracts import build_tables, load_contracts
from salesmart_assets.reports.daily import FileLine
from salesmart_assets.reports.page import Frames

CONTRACTS = load_contracts()
TABLES = build_tables(CONTRACTS)
MADE_AT = datetime(2026, 11, 23, 6, 15, tzinfo=timezone.utc)
BATCH = date(2026, 11, 23)
SOLD = date(2026, 11, 22)
MONTH = date(2026, 11, 1)

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def frame(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows of a table of the lake; columns that a row does not name are NULL."""
    empty = pl.from_arrow(TABLES[name].arrow.empty_table())
    assert isinstance(empty, pl.DataFrame)
    return pl.DataFrame([{column: row.get(column) for column in empty.columns} for row in rows], schema=empty.schema)


def lake(rows: Rows) -> Frames:
    """A lake that holds these rows and whose other tables are empty."""
    return lambda name: frame(name, rows.get(name, ())).lazy()


def parse(html: str) -> ElementTree.Element:
    """The page as a tree; fails where it is not well-formed."""
    doctype, _, rest = html.partition("\n")
    assert doctype == "<!DOCTYPE html>"
    return ElementTree.fromstring(rest)


def text_of(element: ElementTree.Element) -> str:
    """The text of an element, with single spaces."""
    return " ".join(" ".join(element.itertext()).split())


def section(html: str, title: str) -> ElementTree.Element:
    """The section of the page under this heading."""
    for candidate in parse(html).iter("section"):
        heading = candidate.find("h2")
        if heading is not None and (heading.text or "").startswith(title):
            return candidate
    raise AssertionError(f"the page has no section {title!r}")


def table_rows(element: ElementTree.Element, number: int = 0) -> list[list[str]]:
    """The cells of the rows in the body of one of the element's tables."""
    body = list(element.iter("tbody"))[number]
    return [[text_of(cell) for cell in row] for row in body]


def headline(html: str) -> dict[str, str]:
    """The numbers on top of the page, by what they say they are."""
    numbers = next(parse(html).iter("dl"))
    return {text_of(item[0]): text_of(item[1]) for item in numbers}


def sale(store: int, customer: int, receipt: str | None, total: str, **more: Any) -> dict[str, Any]:
    """A line of the fact, all of whose members are known."""
    known = {"customer_key": 1, "store_key": 1, "product_key": 1, "sales_person_key": 1}
    return {
        "sales_date": SOLD,
        "batch_date": BATCH,
        "store_id": store,
        "customer_id": customer,
        "sales_person_id": 7,
        "product_name": "Tea",
        "transaction_id": receipt,
        "price": Decimal(total),
        "quantity": 1,
        "total_cost": Decimal(total),
        **known,
        **more,
    }


def product(product_id: int, name: str, **more: Any) -> dict[str, Any]:
    """A current version of a product."""
    return {
        "product_key": product_id,
        "product_id": product_id,
        "name": name,
        "price": Decimal("2.00"),
        "stock_on_hand": 5,
        "valid_from": date(2020, 1, 1),
        "is_current": True,
        "is_deleted": False,
        **more,
    }


def seller(store: int, number: int, name: str | None, total: str, rank: int, incentive: str, **more: Any) -> dict[str, Any]:
    """A row of the sales team mart."""
    return {
        "sales_month": MONTH,
        "store_id": store,
        "sales_person_id": number,
        "full_name": name,
        "total_sales": Decimal(total),
        "number_of_sales": 3,
        "rank_in_store": rank,
        "incentive": Decimal(incentive),
        **more,
    }


def file_line(
    source: str, key: str, outcome: str | None, read: int = 0, rejected: int = 0, duplicate: int = 0, reason: str | None = None
) -> FileLine:
    """A finished file of the batch."""
    return FileLine(BATCH, source, key, "I", outcome, read, read - rejected - duplicate, rejected, duplicate, reason)


@pytest.fixture
def rows() -> dict[str, list[dict[str, Any]]]:
    """A batch with one sale date: two stores, five lines, one of them of an unknown customer and seller."""
    return {
        "stg_sales": [{"sales_date": SOLD, "batch_date": BATCH}, {"sales_date": date(2026, 11, 1), "batch_date": date(2026, 11, 2)}],
        "fact_sales": [
            sale(121, 1, "r1", "1000.50"),
            sale(121, 1, "r1", "200.25"),
            sale(121, 2, None, "10.00"),
            sale(122, 2, "r1", "20.00", batch_date=date(2026, 11, 22)),
            sale(122, 99, None, "4.00", customer_key=-1, sales_person_key=-1, sales_person_id=55, product_key=3, quantity=4),
            sale(121, 1, "r9", "7777.00", sales_date=date(2026, 11, 1)),
        ],
        "daily_seller_sales": [
            {
                "sales_date": SOLD,
                "store_id": 121,
                "sales_person_id": 7,
                "total_sales": Decimal("1210.75"),
                "number_of_sales": 3,
                "units": 3,
            },
            {"sales_date": SOLD, "store_id": 122, "sales_person_id": 7, "total_sales": Decimal("24.00"), "number_of_sales": 2, "units": 5},
            {
                "sales_date": date(2026, 11, 1),
                "store_id": 121,
                "sales_person_id": 7,
                "total_sales": Decimal("7777.00"),
                "number_of_sales": 1,
                "units": 1,
            },
            {
                "sales_date": date(2026, 10, 3),
                "store_id": 121,
                "sales_person_id": 7,
                "total_sales": Decimal("5.00"),
                "number_of_sales": 1,
                "units": 1,
            },
        ],
        "sales_team_mart": [
            seller(121, 7, "Anna Smith", "8987.75", 1, "89.88"),
            seller(121, 8, "Bob Low", "1.00", 2, "0.00"),
            seller(122, 7, "Anna Smith", "20.00", 1, "0.20"),
            seller(122, 55, None, "20.00", 1, "0.20"),
            seller(121, 7, "Anna Smith", "4494.375", 1, "44.94", sales_month=date(2026, 10, 1)),
        ],
        "dim_product": [
            product(1, "Tea", previous_price=Decimal("1.60"), valid_from=BATCH),
            product(2, "Milk", expiry_date=date(2026, 12, 3)),
            product(3, "Figs", stock_on_hand=0, expiry_date=date(2027, 12, 3)),
            product(4, "Salt", expiry_date=date(2026, 12, 4)),
            product(5, "Old cream", expiry_date=date(2026, 11, 22)),
        ],
        "rejected_rows": [
            {"source": "sales", "source_row": 1, "codes": "row.total_mismatch,price.min", "file_id": 1, "batch_date": BATCH},
            {"source": "sales", "source_row": 2, "codes": "price.min", "file_id": 1, "batch_date": BATCH},
            {"source": "sales", "source_row": 3, "codes": "price.min", "file_id": 0, "batch_date": date(2026, 11, 5)},
            {"source": "sales", "source_row": 3, "codes": "price.min", "file_id": 0, "batch_date": date(2026, 10, 31)},
        ],
        "customer_mart": [
            customer(1, "Carla Jane Petersen", "8977.75", 2, "loyal", 10, change_on_month_before=Decimal("-5.25")),
            customer(2, "Dora Quist", "30.00", 2, "occasional", 5),
            customer(99, None, "1021.00", 1, "occasional", 5),
            customer(1, "Carla Jane Petersen", "8983.00", 9, "loyal", 10, sales_month=date(2026, 10, 1)),
        ],
        "manager_mart": [
            {
                "sales_month": MONTH,
                "manager_id": 3,
                "full_name": "Mia Berg",
                "direct_sales": Decimal("8988.75"),
                "team_sales": Decimal("9008.75"),
                "number_of_sales": 9,
                "team_size": 2,
            }
        ],
    }


def customer(number: int, name: str | None, total: str, orders: int, segment: str, percent: int, **more: Any) -> dict[str, Any]:
    """A row of the customer mart."""
    return {
        "sales_month": MONTH,
        "customer_id": number,
        "full_name": name,
        "address": "7 Hidden Lane",
        "phone_number": "+49 555 0100",
        "total_sales": Decimal(total),
        "orders": orders,
        "segment": segment,
        "coupon_code": f"SECRET{number}",
        "coupon_percent": percent,
        **more,
    }


FILES = [
    file_line("sales", "landing/sales/dt=2026-11-23/a.csv", "loaded", read=1400, rejected=2, duplicate=3),
    file_line("sales", "landing/sales/dt=2026-11-23/b.csv", "rejected", reason="the header has no column total_cost"),
    file_line("products", "landing/products/dt=2026-11-23/p.csv", "loaded", read=5),
]
