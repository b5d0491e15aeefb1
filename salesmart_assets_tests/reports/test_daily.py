"""The daily report says what the lake holds."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from salesmart_assets.reports import daily
from salesmart_assets.reports.daily import Report, daily_report
from salesmart_assets.reports.stock import stock_warnings
from salesmart_assets_tests.reports.conftest import (
    BATCH,
    CONTRACTS,
    FILES,
    MADE_AT,
    SOLD,
    TABLES,
    frame,
    headline,
    lake,
    parse,
    product,
    sale,
    section,
    seller,
    table_rows,
    text_of,
)


def report(rows: dict[str, list[dict[str, Any]]], **more: Any) -> Report:
    return daily_report(lake(rows), FILES, BATCH, contracts=CONTRACTS, **{"expiry_days": 10, "currency": "€", "made_at": MADE_AT, **more})


def test_headline(rows: dict[str, list[dict[str, Any]]]) -> None:
    """The headline adds up all lines of the batch's sale dates; a line without a receipt number is a receipt of its own."""
    assert headline(report(rows).html) == {
        "Sales of 2026-11-22": "€1,234.75",
        "Receipts": "4",
        "Average basket": "€308.69",
        "Customers": "3",
        "Lines sold": "5",
    }


def test_week_before(rows: dict[str, list[dict[str, Any]]]) -> None:
    """A batch with one sale date is compared with the same day of the week before."""
    before = {"sales_date": SOLD - timedelta(days=7), "store_id": 1, "sales_person_id": 1, "total_sales": Decimal("1000.00")}
    rows["daily_seller_sales"].append(before)
    assert headline(report(rows).html)["Sales of 2026-11-22"] == "€1,234.75 +23.5\N{NO-BREAK SPACE}% on 2026-11-15, a week before".replace(
        "\xa0", " "
    )


def test_several_sale_dates(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Late sales show under their own day, with how many of the day's lines this batch brought."""
    rows["stg_sales"].append({"sales_date": date(2026, 11, 1), "batch_date": BATCH})
    rows["fact_sales"].append(sale(121, 1, "r2", "23.00", sales_date=date(2026, 11, 1)))
    rows["fact_sales"][5]["batch_date"] = date(2026, 11, 2)
    html = report(rows).html
    assert headline(html)["Sales of 2026-11-01 to 2026-11-22"] == "€9,034.75"
    first = next(parse(html).iter("section"))
    assert table_rows(first) == [["2026-11-22", "€1,234.75", "5", "4"], ["2026-11-01", "€7,800.00", "2", "1"]]


def test_without_receipt_numbers(rows: dict[str, list[dict[str, Any]]]) -> None:
    """A contract that leaves receipt numbers and product numbers out still gives a report."""
    frames = lake(rows)

    def narrow(name: str) -> pl.LazyFrame:
        found = frames(name)
        return found.drop("transaction_id", "product_id") if name == "fact_sales" else found

    html = daily_report(narrow, FILES, BATCH, contracts=CONTRACTS, expiry_days=10, currency="", made_at=MADE_AT).html
    assert headline(html)["Receipts"] == "5"


def test_receipts_of_more_lines_than_are_looked_at_at_once(rows: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Receipts are counted store by store where a day has too many lines, with the same result."""
    html = report(rows).html
    monkeypatch.setattr(daily, "_LINES_AT_ONCE", 1)
    assert report(rows).html == html


def test_days_and_stores(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Thirty days up to the batch's last sale date, none left out; stores of the month, best first."""
    html = report(rows).html
    days = dict(table_rows(section(html, "Sales by day")))
    assert len(days) == 30
    assert next(iter(days)) == "2026-11-22"
    assert list(days)[-1] == "2026-10-24"
    assert {day: amount for day, amount in days.items() if amount != "€0.00"} == {"2026-11-22": "€1,234.75", "2026-11-01": "€7,777.00"}
    assert table_rows(section(html, "Stores in 2026-11")) == [["121", "€1,210.75", "€8,988.75"], ["122", "€24.00", "€40.00"]]


def test_silent_stores(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Stores that sold something in the days of the plot, but nothing on the last one, are told with their last day."""
    stores = section(report(rows).html, "Stores in 2026-11")
    assert "Nothing was sold on" not in text_of(stores)
    for store, day in ((140, 5), (139, 5), (141, 1)):
        rows["daily_seller_sales"].append({**rows["daily_seller_sales"][0], "store_id": store, "sales_date": date(2026, 11, day)})
    silent = (
        "Nothing was sold on 2026-11-22 in store 141 (last on 2026-11-01), store 139 (last on 2026-11-05), store 140 (last on 2026-11-05)."
    )
    assert silent in text_of(section(report(rows).html, "Stores in 2026-11"))
    rows["daily_seller_sales"] += [{**rows["daily_seller_sales"][-1], "store_id": store} for store in range(200, 220)]
    assert "(last on 2026-11-01), and in 13 more." in text_of(section(report(rows).html, "Stores in 2026-11"))
    rows["stg_sales"].clear()
    assert "Nothing was sold on" not in text_of(section(report(rows).html, "Stores in 2026-11"))


def test_customers(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Customers of the month so far by segment, and the coupons by percent; no customer is named or numbered."""
    customers = section(report(rows).html, "Customers in 2026-11")
    assert table_rows(customers, 0) == [["loyal", "1", "€8,977.75"], ["regular", "0", "€0.00"], ["occasional", "2", "€1,051.00"]]
    assert table_rows(customers, 1) == [["10 %", "1"], ["5 %", "2"]]
    for secret in ("Carla", "Petersen", "Hidden Lane", "0100", "SECRET"):
        assert secret not in report(rows).html


def test_far_off_sale_date(rows: dict[str, list[dict[str, Any]]]) -> None:
    """One sale date in the far future does not carry the plots away."""
    rows["stg_sales"].append({"sales_date": date(2099, 1, 1), "batch_date": BATCH})
    assert "2026-10-24 to 2026-11-22" in text_of(section(report(rows).html, "Sales by day"))


def test_leaders(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Everybody on rank 1 shows with the incentive, tied and unknown sellers too, and the incentives add up."""
    leaders = section(report(rows).html, "Leaders of 2026-11")
    assert table_rows(leaders) == [
        ["Anna Smith Store 121", "€8,987.75", "€89.88"],
        ["Anna Smith Store 122", "€20.00", "€0.20"],
        ["Seller 55 unknown Store 122", "€20.00", "€0.20"],
    ]
    assert text_of(next(leaders.iter("tfoot"))) == "All incentives €90.28"


def test_price_changes(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Prices that change on the batch date, and those the batch announces for a later day, with before and now."""
    rows["dim_product"] += [
        product(6, "Later", previous_price=Decimal("4.00"), valid_from=date(2026, 12, 1)),
        product(7, "Announced by another batch", previous_price=Decimal("4.00"), valid_from=date(2026, 12, 2)),
        product(8, "Same price", previous_price=Decimal("2.00"), valid_from=BATCH),
        product(9, "First version", valid_from=BATCH),
    ]
    rows["stg_products"] = [{"product_id": 6, "effective_date": date(2026, 12, 1), "batch_date": BATCH}]
    assert table_rows(section(report(rows).html, "Price changes")) == [
        ["Later from 2026-12-01", "€4.00", "€2.00 −50.0 %"],
        ["Tea", "€1.60", "€2.00 +25.0 %"],
    ]


def test_stock_and_expiry(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Sold though out of stock, expired with stock left, or expiring within the days that the setting names."""
    assert table_rows(section(report(rows).html, "Stock and expiry")) == [
        ["Figs sold, not in stock expires 2027-12-03", "0", "4"],
        ["Old cream expired 2026-11-22", "5", "0"],
        ["Milk expires soon 2026-12-03", "5", "0"],
    ]


@pytest.mark.parametrize(("missing", "told"), [("stock_on_hand", ["expires soon"]), ("expiry_date", ["sold, not in stock"])])
def test_stock_and_expiry_of_a_contract_without_them(rows: dict[str, list[dict[str, Any]]], missing: str, told: list[str]) -> None:
    """A contract without stock or expiry dates has nothing to say of them, and the rest is told."""
    frames = lake(rows)
    found = stock_warnings(frames("dim_product").drop(missing), frames("fact_sales"), BATCH, 10)
    assert [warning.what for warning in found] == told


def test_products_as_of_the_batch_date(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Stock is judged by the version that was true on the batch date, also when the report is made again later."""
    rows["dim_product"] = [
        product(3, "Figs", stock_on_hand=9, valid_to=date(2026, 12, 1), is_current=False),
        product(3, "Figs", product_key=33, stock_on_hand=0, valid_from=date(2026, 12, 1)),
    ]
    assert "Figs" not in text_of(section(report(rows).html, "Stock and expiry"))


def test_data_quality(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Files and rows as the ledger counts them, rejected rows by rule for this batch alone, and why a file was rejected."""
    quality = section(report(rows).html, "Data quality")
    assert table_rows(quality) == [["products 1 file, 5 rows", "5", "0", "0"], ["sales 2 files, 1,400 rows", "1,395", "2", "3"]]
    assert text_of(next(quality.iter("tfoot"))) == "All 3 files, 1,405 rows 1,400 2 3"
    told = "row.total_mismatch Total_cost is not price × quantity (a cent of rounding is allowed)."
    assert table_rows(quality, 1) == [["sales", "price.min", "2"], ["sales", told, "1"]]
    files = [text_of(item) for item in quality.iter("li")]
    assert files == [
        "rejected landing/sales/dt=2026-11-23/b.csv the header has no column total_cost",
        "loaded 2 rows rejected landing/sales/dt=2026-11-23/a.csv",
    ]


def test_unknown_members(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Unknown members are listed by dimension with the number that the file gave."""
    unknown = section(report(rows).html, "Unknown members")
    assert [text_of(title) for title in unknown.iter("h3")] == ["1 customer, 1 line", "1 seller, 1 line"]
    assert table_rows(unknown, 0) == [["99", "1", "€4.00"]]
    assert table_rows(unknown, 1) == [["55", "1", "€4.00"]]


def test_freshness(rows: dict[str, list[dict[str, Any]]]) -> None:
    """The page says up to which day sales are known, and when it was made, in UTC."""
    header = text_of(next(parse(report(rows).html).iter("header")))
    assert header == "Daily report 2026-11-23 Sales known up to 2026-11-22 · made 2026-11-23 06:15 UTC"


def test_preview(rows: dict[str, list[dict[str, Any]]]) -> None:
    """The preview is short, its numbers are the page's, and it names nobody."""
    preview = report(rows).preview
    assert "sales **€1,234.75** · 5 lines · 4 receipts · 3 customers · average basket €308.69" in preview
    assert "3 files: 1,405 rows read, 1,400 accepted, 2 rejected, 3 duplicate." in preview
    assert "| 121 | A. S. | €8,987.75 | €89.88 |" in preview
    assert "Unknown: 1 customer, 1 seller." in preview
    assert "Anna" not in preview
    assert "Smith" not in preview


def test_nothing_there() -> None:
    """A batch without files, in an empty lake, gives a page that says so."""
    empty = daily_report(lake({}), [], BATCH, contracts=CONTRACTS, expiry_days=30, currency="", made_at=MADE_AT)
    page = text_of(parse(empty.html))
    for words in ("No sales in this batch", "No sales known yet", "No files in this batch", "No list price changed"):
        assert words in page
    assert "None" not in page
    assert "nan" not in page.lower().split()
    assert "No sales in this batch" in empty.preview


def test_long_lists_are_cut(rows: dict[str, list[dict[str, Any]]]) -> None:
    """A long list shows its beginning and says how much more there is."""
    rows["dim_product"] = [product(n, f"P{n}", previous_price=Decimal("1.00"), valid_from=BATCH) for n in range(1, 1229)]
    changes = section(report(rows).html, "Price changes")
    assert len(table_rows(changes)) == 25
    assert "And 1,203 more in dim_product." in text_of(changes)
    rows["sales_team_mart"] = [seller(store, 7, f"S{store}", "1.00", 1, "0.01") for store in range(1, 332)]
    leaders = section(report(rows).html, "Leaders")
    assert [len(table_rows(leaders, number)) for number in (0, 1)] == [30, 270]
    assert "All incentives €3.31" in text_of(leaders)
    assert text_of(leaders).endswith("And 31 more in sales_team_mart.")


@pytest.mark.parametrize("table", ["fact_sales", "daily_seller_sales", "stg_sales"])
def test_other_days_are_not_opened(rows: dict[str, list[dict[str, Any]]], tmp_path: Path, table: str) -> None:
    """A report opens the files of its own days only: one of long ago could not even be read."""
    partitions = TABLES[table].partition_by
    files = []
    for day, stored in frame(table, rows[table]).partition_by("sales_date", as_dict=True).items():
        folder = tmp_path / f"sales_date={day[0]}"
        if table == "stg_sales":
            folder /= f"batch_date={stored['batch_date'][0]}"
        folder.mkdir(parents=True)
        stored.drop(partitions).write_parquet(folder / "part.parquet")
        files.append(folder / "part.parquet")
    broken = tmp_path / "sales_date=2015-01-01" / ("batch_date=2015-01-01" if table == "stg_sales" else "") / "part.parquet"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no Parquet")
    schema = frame(table, ()).schema
    on_disk = pl.scan_parquet(
        [broken, *files],
        hive_partitioning=True,
        hive_schema={name: schema[name] for name in partitions},
        schema={name: kind for name, kind in schema.items() if name not in partitions},
    ).select(list(schema))
    in_memory = lake(rows)
    page = daily_report(
        lambda name: on_disk if name == table else in_memory(name),
        FILES,
        BATCH,
        contracts=CONTRACTS,
        expiry_days=10,
        currency="€",
        made_at=MADE_AT,
    )
    assert page == report(rows)
