"""A backfill replaces what it rebuilds, and only that."""

from __future__ import annotations

from datetime import date

from salesmart_assets.batch.platform import Platform
from salesmart_assets.contracts.tables import DIMENSIONS
from salesmart_assets_tests.batches import HEADER, Batches, load, load_pending, tables

SALES = {
    "2026-06-30": ("1,121,bread,2026-06-30,1,2.50,2,5.00", "2,121,oil,2026-06-29,2,10.00,1,10.00"),
    "2026-07-01": ("1,121,bread,2026-07-01,1,2.50,1,2.50", "1,122,bread,2026-06-30,1,2.50,4,10.00"),
    "2026-07-02": ("3,121,tea,2026-07-02,2,1.00,3,3.00", "x,121,tea,2026-07-02,2,1.00,3,3.00"),
    "2026-08-01": ("3,121,tea,2026-08-01,2,1.00,3,3.00", "2,121,oil,2026-07-31,2,10.00,1,10.00"),
}
PRODUCTS = (
    "product_id,name,category,price,cost,stock_on_hand,expiry_date",
    "1,bread,food,2.50,1.00,7,2030-01-01",
    "2,oil,food,9.00,4.00,0,2030-01-01",
)
_SLICES = {"stg_sales": "batch_date", "fact_sales": "sales_date", "daily_seller_sales": "sales_date", "sales_team_mart": "sales_month"}
_SLICES |= {"daily_customer_sales": "sales_date", "customer_mart": "sales_month"}


def content(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def files(platform: Platform) -> dict[str, dict[str, set[str]]]:
    """The data files of each table, by slice."""
    found: dict[str, dict[str, set[str]]] = {}
    for table, column in _SLICES.items():
        for file in platform.lake.snapshot(table).files:
            found.setdefault(table, {}).setdefault(file.value(column) or "", set()).add(file.path)
    return found


def replaced(before: dict[str, dict[str, set[str]]], after: dict[str, dict[str, set[str]]]) -> dict[str, set[str]]:
    """The slices, by table, whose files are others."""
    return {table: {name for name, paths in slices.items() if after[table][name] != paths} for table, slices in before.items()}


def test_a_rebuild_replaces_its_own_slices_only(batches: Batches, platform: Platform) -> None:
    """Rebuilding a date or a month gives equal tables, and the files of all other dates and months stay as they are."""
    for day, lines in SALES.items():
        batches.land(platform, content(HEADER, *lines), "sales", day, "sales.csv")
    batches.land(platform, content(*PRODUCTS), "products", "2026-07-01", "products.csv")
    load_pending(platform)
    before, was = tables(platform), files(platform)
    versions = {name: platform.lake.snapshot(name).version for name in DIMENSIONS}

    load(platform, date(2026, 7, 1), rebuild=True)
    assert tables(platform) == before
    sale_dates, months = {"2026-06-30", "2026-07-01"}, {"2026-06-01", "2026-07-01"}
    one = replaced(was, files(platform))
    assert one["stg_sales"] <= {"2026-07-01"}
    assert one["fact_sales"] == one["daily_seller_sales"] == one["daily_customer_sales"] == sale_dates
    assert one["sales_team_mart"] == months
    assert one["customer_mart"] == {*months, "2026-08-01"}, "the month after looks back"

    was = files(platform)
    for day in platform.ledger.batch_dates(date(2026, 7, 1), date(2026, 7, 31)):
        load(platform, day, rebuild=True)
    assert tables(platform) == before
    month = replaced(was, files(platform))
    assert month["stg_sales"] <= {"2026-07-01", "2026-07-02"}
    assert month["fact_sales"] == month["daily_seller_sales"] == {*sale_dates, "2026-07-02"}
    assert month["sales_team_mart"] == months
    assert {name: platform.lake.snapshot(name).version for name in DIMENSIONS} == versions
    assert {f.status for f in platform.ledger.files()} == {"I"}
