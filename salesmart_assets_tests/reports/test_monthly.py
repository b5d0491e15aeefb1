"""The monthly report says what the marts hold."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from salesmart_assets.reports.monthly import Report, monthly_report
from salesmart_assets_tests.reports.conftest import (
    CONTRACTS,
    FILES,
    MADE_AT,
    MONTH,
    headline,
    lake,
    parse,
    product,
    section,
    seller,
    table_rows,
    text_of,
)


def report(rows: dict[str, list[dict[str, Any]]], month: date = MONTH) -> Report:
    return monthly_report(lake(rows), FILES, month, contracts=CONTRACTS, currency="€", made_at=MADE_AT)


def test_headline(rows: dict[str, list[dict[str, Any]]]) -> None:
    """The month's numbers are the sums of its marts, compared with the month before."""
    assert headline(report(rows).html) == {
        "Sales": "€9,028.75 +100.9 % on 2026-10",
        "Incentives": "€90.28",
        "Average basket": "€1,805.75",
        "Customers": "3",
        "Receipts": "5",
        "Lines sold": "12",
        "Sellers": "3 in 2 stores",
    }


def test_any_day_of_the_month(rows: dict[str, list[dict[str, Any]]]) -> None:
    """A month is named by any of its days."""
    assert report(rows, date(2026, 11, 30)) == report(rows)


def test_days_and_stores(rows: dict[str, list[dict[str, Any]]]) -> None:
    """All days of the month and none of another; stores, best first."""
    html = report(rows).html
    days = dict(table_rows(section(html, "Sales by day")))
    assert next(iter(days)) == "2026-11-30"
    assert len(days) == 30
    assert {day: amount for day, amount in days.items() if amount != "€0.00"} == {"2026-11-22": "€1,234.75", "2026-11-01": "€7,777.00"}
    stores = next(s for s in parse(html).iter("section") if text_of(s).startswith("Stores Store"))
    assert table_rows(stores) == [["121", "€8,988.75"], ["122", "€40.00"]]


def test_leaders_and_incentives(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Who earns is named, whatever the rank, and the incentives add up."""
    rows["sales_team_mart"].append(seller(122, 9, "Nora Second", "12.50", 3, "0.05"))
    leaders = section(report(rows).html, "Leaders of 2026-11")
    assert table_rows(leaders)[-1] == ["Nora Second Store 122, rank 3", "€12.50", "€0.05"]
    assert text_of(next(leaders.iter("tfoot"))) == "All incentives €90.33"


def test_segments_and_coupons(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Customers by segment with what they spent, and coupons by percent."""
    customers = section(report(rows).html, "Customers")
    assert table_rows(customers, 0) == [["loyal", "1", "€8,977.75"], ["regular", "0", "€0.00"], ["occasional", "2", "€1,051.00"]]
    assert table_rows(customers, 1) == [["10 %", "1"], ["5 %", "2"]]


def test_top_customers_are_masked(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Customers show by number and initials: no name, address, telephone number or coupon code is on the page or in the preview."""
    made = report(rows)
    assert table_rows(section(made.html, "Top customers")) == [
        ["1 C. J. P. loyal", "€8,977.75 −€5.25", "2", "10 %"],
        ["99 unknown occasional", "€1,021.00", "1", "5 %"],
        ["2 D. Q. occasional", "€30.00", "2", "5 %"],
    ]
    for secret in ("Carla", "Petersen", "Dora", "Quist", "Hidden Lane", "0100", "SECRET"):
        assert secret not in made.html
        assert secret not in made.preview


def test_teams(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Each manager with what the team sold, and the part of those who report directly."""
    assert table_rows(section(report(rows).html, "Managers' teams")) == [
        ["Mia Berg 2 sellers, 9 lines", "€9,008.75 direct €8,988.75"],
    ]


def test_data_quality_of_the_month(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Rejected rows of all batches of the month, and of no other."""
    found = table_rows(section(report(rows).html, "Data quality"), 1)
    assert [(source, rule.split()[0], count) for source, rule, count in found] == [
        ("sales", "price.min", "3"),
        ("sales", "row.total_mismatch", "1"),
    ]


def test_price_changes(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Prices that changed on a day of the month, with that day, the biggest change first."""
    rows["dim_product"] += [
        product(6, "Rice", previous_price=Decimal("4.00"), valid_from=date(2026, 11, 1)),
        product(7, "Oats", previous_price=Decimal("1.00"), valid_from=date(2026, 12, 1)),
        product(8, "Same price", previous_price=Decimal("2.00"), valid_from=date(2026, 11, 2)),
    ]
    assert table_rows(section(report(rows).html, "Price changes")) == [
        ["Rice from 2026-11-01", "€4.00", "€2.00 −50.0 %"],
        ["Tea from 2026-11-23", "€1.60", "€2.00 +25.0 %"],
    ]


def test_preview(rows: dict[str, list[dict[str, Any]]]) -> None:
    """The preview's numbers are the page's, and it names nobody."""
    preview = report(rows).preview
    assert "**Month 2026-11.** Sales **€9,028.75** · 12 lines · 3 customers · incentives **€90.28**." in preview
    assert "| 122 | seller 55 | €20.00 | €0.20 |" in preview
    assert "Customers: 1 loyal, 0 regular, 2 occasional." in preview
    assert "Anna" not in preview
    assert "Mia" not in preview


def test_nothing_there() -> None:
    """A month without data gives a page that says so."""
    made = monthly_report(lake({}), [], MONTH, contracts=CONTRACTS, currency="", made_at=MADE_AT)
    page = text_of(parse(made.html))
    for words in ("No sales in 2026-11", "No customers in this month yet", "No team sold anything", "No files in this month"):
        assert words in page
    assert "None" not in page
    assert "No sales" in made.preview


def test_december(rows: dict[str, list[dict[str, Any]]]) -> None:
    """December ends with the year."""
    rows["sales_team_mart"].append(seller(121, 7, "Anna Smith", "10.00", 1, "0.10", sales_month=date(2026, 12, 1)))
    rows["daily_seller_sales"].append(
        {"sales_date": date(2026, 12, 31), "store_id": 121, "sales_person_id": 7, "total_sales": Decimal("10.00")}
    )
    html = report(rows, date(2026, 12, 24)).html
    assert headline(html)["Sales"] == "€10.00 −99.9 % on 2026-11"
    assert table_rows(section(html, "Sales by day"))[0] == ["2026-12-31", "€10.00"]
