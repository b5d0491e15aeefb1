"""What comes late: members that sales named before anybody delivered them, corrected prices, and sales of long ago."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from salesmart_assets.batch import reconcile
from salesmart_assets.batch.platform import Platform
from salesmart_assets_tests.batches import HEADER, Batches, load_pending, tables

DAYS = ("2026-07-30", "2026-08-05", "2026-08-10", "2026-08-15")
LANDED = "2026-08-20"
CUSTOMERS = "customer_id,first_name,last_name,address,pincode,phone_number,customer_joining_date"
STORES = "store_id,address,store_pincode,store_manager_name,store_opening_date"
PRODUCTS = "product_id,name,category,price,cost,stock_on_hand,expiry_date,effective_date"
SELLERS = "sales_person_id,first_name,last_name,manager_id,is_manager,store_id,address,pincode,joining_date"


def content(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def sell(batches: Batches, platform: Platform, *lines: str, day: str = LANDED, name: str = "sales.csv") -> None:
    """Load lines given as customer, store, product, day, seller, each of one unit for 2.50."""
    batches.land(platform, content(HEADER, *(f"{line},2.50,1,2.50" for line in lines)), "sales", day, name)
    load_pending(platform)


def paths(platform: Platform, table: str, column: str = "sales_date") -> dict[str | None, list[str]]:
    """The data files of a table, by partition."""
    found: dict[str | None, list[str]] = {}
    for file in platform.lake.snapshot(table).files:
        found.setdefault(file.value(column), []).append(file.path)
    return found


def replaced(before: dict[str | None, list[str]], after: dict[str | None, list[str]]) -> set[str | None]:
    """The partitions whose files are others than before."""
    return {slice_ for slice_ in before.keys() | after.keys() if before.get(slice_) != after.get(slice_)}


def fact(platform: Platform) -> dict[str, dict[str, Any]]:
    """The fact's rows by sale date, where there is one on each."""
    return {row["sales_date"].isoformat(): row for row in tables(platform, ["fact_sales"])["fact_sales"]}


@pytest.mark.parametrize(
    ("dimension", "source", "lines", "word"),
    [
        ("customer", "customers", (CUSTOMERS, "2,Dan,Ray,Road 8,10001,556,2020-01-01"), "customers"),
        ("store", "stores", (STORES, "122,Road 1,10001,Bob,2010-01-01"), "stores"),
        ("product", "products", (PRODUCTS, "2,oil,food,9.00,4.00,0,2030-01-01,"), "products"),
        ("sales_person", "sales_team", (SELLERS, "2,Bob,Lake,,true,121,Road 2,10002,2019-01-01"), "sellers"),
    ],
    ids=["customer", "store", "product", "seller"],
)
def test_unknown_members_resolve_by_themselves(
    batches: Batches, platform: Platform, dimension: str, source: str, lines: tuple[str, ...], word: str
) -> None:
    """A line whose customer, store, product or seller nobody delivered yet counts; when they come, just its sale dates are recomputed."""
    sell(batches, platform, *(f"1,121,bread,{day},1" for day in DAYS[:2]), *(f"2,122,oil,{day},2" for day in DAYS[2:]))
    found = reconcile.known_members(platform, date.fromisoformat(LANDED))
    unknown = {"customer": "2", "store": "122", "product": "oil", "sales_person": "2"}[dimension]
    assert not found.passed
    assert found.facts[f"dim_{dimension}"]["lines"] == 4
    assert unknown in found.facts[f"dim_{dimension}"]["examples"]
    assert f"2 {word} (4 lines, such as" in found.sentence
    before = paths(platform, "fact_sales")
    batches.land(platform, content(*lines), source, "2026-08-21", f"{source}.csv")
    assert load_pending(platform) == [date(2026, 8, 21)]
    assert replaced(before, paths(platform, "fact_sales")) == set(DAYS[2:])
    unknown_still = [day for day, row in sorted(fact(platform).items()) if row[f"{dimension}_key"] == -1]
    assert unknown_still == list(DAYS[:2])
    again = reconcile.known_members(platform, date.fromisoformat(LANDED)).facts[f"dim_{dimension}"]
    assert (again["lines"], again["members"]) == (2, 1)
    assert sum(row["total_sales"] for row in tables(platform, ["sales_team_mart"])["sales_team_mart"]) == 10


def test_a_late_price_correction(batches: Batches, platform: Platform) -> None:
    """A price that is corrected for the past recomputes the sale dates on which it held, and no other."""
    prices = ("1,bread,food,2.00,1.00,7,2030-01-01,2026-01-01", "1,bread,food,3.00,1.00,7,2030-01-01,2026-08-12")
    batches.land(platform, content(PRODUCTS, *prices), "products", LANDED, "products.csv")
    sell(batches, platform, *(f"1,121,bread,{day},1" for day in DAYS))
    before = {table: paths(platform, table) for table in ("fact_sales", "daily_seller_sales", "daily_customer_sales")}
    batches.land(platform, content(PRODUCTS, "1,bread,food,2.20,1.00,7,2030-01-01,2026-08-08"), "products", "2026-08-21", "late.csv")
    load_pending(platform)
    for table, files in before.items():
        assert replaced(files, paths(platform, table)) == {"2026-08-10"}, table
    assert [str(fact(platform)[day]["list_price"]) for day in DAYS] == ["2.00", "2.00", "2.20", "3.00"]
    assert str(fact(platform)["2026-08-10"]["price_variance"]) == "0.30"


def test_a_late_file(batches: Batches, platform: Platform) -> None:
    """A late file recomputes its own sale dates and the months they are in; the files of all other dates and months stay as they are."""
    sell(batches, platform, *(f"1,121,bread,{day},1" for day in ("2026-05-01", *DAYS)))
    before = {table: paths(platform, table) for table in ("fact_sales", "daily_seller_sales")}
    months = {mart: paths(platform, mart, "sales_month") for mart in ("sales_team_mart", "customer_mart")}
    sell(batches, platform, "1,121,bread,2026-05-02,1", "1,121,bread,2026-05-01,1", day="2026-08-21", name="late.csv")
    for table, files in before.items():
        assert replaced(files, paths(platform, table)) == {"2026-05-01", "2026-05-02"}, table
    for mart, files in months.items():
        assert replaced(files, paths(platform, mart, "sales_month")) == {"2026-05-01"}, mart
