"""The monthly report: who sold, who earns, which customers bought, and how good the month's data was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl

from salesmart_assets.contracts import Contract
from salesmart_assets.reports import plots
from salesmart_assets.reports.figures import (
    ZERO,
    Leader,
    Quality,
    Segment,
    coupons,
    first_of_month,
    latest_sale_date,
    leaders,
    month_before,
    next_month,
    of_month,
    price_changes,
    quality,
    sales_by_day,
    sales_by_store,
    sales_of_month,
    segments,
)
from salesmart_assets.reports.page import (
    FileLine,
    Frames,
    Report,
    Shortlist,
    average,
    change,
    markdown_table,
    masked,
    money,
    number,
    plural,
    render,
)

__all__ = ["FileLine", "Frames", "Report", "monthly_report"]

_STORES_PLOTTED = 12
_LEADERS_SHOWN = 300
_MANAGERS_SHOWN = 25
_PRODUCTS_SHOWN = 25
_CUSTOMERS_SHOWN = 15
_LEADERS_IN_PREVIEW = 5


@dataclass(frozen=True, slots=True)
class Totals:
    """The month in a few numbers."""

    total_sales: Decimal
    before: Decimal | None
    lines: int
    orders: int
    customers: int
    stores: int
    sellers: int
    incentives: Decimal

    @property
    def average_basket(self) -> Decimal | None:
        """Sales per receipt, rounded half up."""
        return average(self.total_sales, self.orders)


@dataclass(frozen=True, slots=True)
class Team:
    """A manager and what the people below sold."""

    manager_id: int
    full_name: str | None
    direct_sales: Decimal
    team_sales: Decimal
    number_of_sales: int
    team_size: int


@dataclass(frozen=True, slots=True)
class TopCustomer:
    """A customer who spent much; the name is masked."""

    customer_id: int
    initials: str | None
    total_sales: Decimal
    orders: int
    segment: str
    change: Decimal | None
    coupon_percent: int


def monthly_report(
    frames: Frames,
    files: Sequence[FileLine],
    month: date,
    *,
    contracts: Mapping[str, Contract],
    currency: str,
    made_at: datetime,
    workbook: str = "",
) -> Report:
    """The report of the month in which the day `month` lies, as its figures are now.

    `files` are the files whose batch date lies in the month; `contracts`, by source, say what a rejected row broke. `made_at`
    in UTC. `workbook` is the name of the Excel workbook beside the page, which the page then links to.
    """
    month = first_of_month(month)
    last_day = next_month(month) - timedelta(days=1)
    earlier = f"{month_before(month):%Y-%m}"
    totals = _totals(frames, month)
    changed = change(totals.total_sales, totals.before)
    by_day = sales_by_day(frames, month, last_day)
    stores = sales_by_store(frames, month)
    best = leaders(frames, month)
    groups = segments(frames, month)
    prices = frames("dim_product").filter(pl.col("valid_from").is_between(month, last_day))
    found = quality(frames, files, contracts, month, last_day)
    top_stores = [(f"Store {store}", amount) for store, amount in stores[:_STORES_PLOTTED]]
    tiles = _by_day_and_store(frames, month, last_day, [store for store, _ in stores[:_STORES_PLOTTED]])
    html = render(
        "monthly.html.j2",
        {
            "month": f"{month:%Y-%m}",
            "month_before": earlier,
            "on_month_before": f"{changed} on {earlier}" if changed else "",
            "made_at": made_at,
            "workbook": workbook,
            "latest": latest_sale_date(frames),
            "totals": totals,
            "by_day": by_day,
            "day_plot": plots.by_day(by_day, f"Sales by day in {month:%Y-%m}"),
            "stores": stores,
            "stores_plotted": _STORES_PLOTTED,
            "store_plot": plots.by_name(top_stores, f"Sales by store in {month:%Y-%m}"),
            "tile_plot": plots.by_day_and_store(
                tiles, [str(store) for store, _ in stores[:_STORES_PLOTTED]], list(by_day), f"Sales by store and day in {month:%Y-%m}"
            ),
            "leaders": Shortlist.of(best, _LEADERS_SHOWN),
            "incentives": totals.incentives,
            "segments": groups,
            "segment_plot": plots.by_name(
                [(group.name, Decimal(group.customers)) for group in groups], f"Customers by segment in {month:%Y-%m}"
            ),
            "coupons": coupons(frames, month),
            "prices": Shortlist.of(price_changes(prices), _PRODUCTS_SHOWN),
            "teams": Shortlist.of(_teams(frames, month), _MANAGERS_SHOWN),
            "customers": _top_customers(frames, month),
            "quality": found,
        },
        currency=currency,
    )
    return Report(html, _preview(month, totals, best, groups, found, currency))


def _totals(frames: Frames, month: date) -> Totals:
    sales, lines, stores, sellers, incentives = (
        of_month(frames, "sales_team_mart", month)
        .select(
            pl.col("total_sales").sum(),
            pl.col("number_of_sales").sum(),
            pl.col("store_id").n_unique(),
            pl.col("sales_person_id").n_unique(),
            pl.col("incentive").sum(),
        )
        .collect()
        .row(0)
    )
    orders, customers = (
        of_month(frames, "customer_mart", month).select(pl.col("orders").sum(), pl.col("customer_id").n_unique()).collect().row(0)
    )
    return Totals(
        total_sales=sales or ZERO,
        before=sales_of_month(frames, month_before(month)),
        lines=lines,
        orders=orders,
        customers=customers,
        stores=stores,
        sellers=sellers,
        incentives=incentives or ZERO,
    )


def _by_day_and_store(frames: Frames, first: date, last: date, stores: Sequence[int]) -> dict[tuple[str, date], Decimal]:
    found = (
        frames("daily_seller_sales")
        .filter(pl.col("sales_date").is_between(first, last) & pl.col("store_id").is_in(list(stores)))
        .group_by("store_id", "sales_date")
        .agg(pl.col("total_sales").sum())
        .collect()
    )
    return {(str(store), day): amount for store, day, amount in found.iter_rows()}


def _teams(frames: Frames, month: date) -> list[Team]:
    found = (
        of_month(frames, "manager_mart", month)
        .sort(["team_sales", "manager_id"], descending=[True, False])
        .select("manager_id", "full_name", "direct_sales", "team_sales", "number_of_sales", "team_size")
        .collect()
    )
    return [Team(*row) for row in found.iter_rows()]


def _top_customers(frames: Frames, month: date) -> list[TopCustomer]:
    found = (
        of_month(frames, "customer_mart", month)
        .sort(["total_sales", "customer_id"], descending=[True, False])
        .head(_CUSTOMERS_SHOWN)
        .select("customer_id", "full_name", "total_sales", "orders", "segment", "change_on_month_before", "coupon_percent")
        .collect()
    )
    return [TopCustomer(row[0], masked(row[1]), *row[2:]) for row in found.iter_rows()]


def _preview(month: date, totals: Totals, best: Sequence[Leader], groups: Sequence[Segment], found: Quality, currency: str) -> str:
    """A few lines of Markdown for people who look in passing: no name in it."""
    sold = "No sales"
    if totals.lines:
        sold = (
            f"Sales **{money(totals.total_sales, currency)}** · {plural(totals.lines, 'line')} · {plural(totals.customers, 'customer')} · "
            f"incentives **{money(totals.incentives, currency)}**"
        )
    parts = [
        f"**Month {month:%Y-%m}.** {sold}.",
        found.summary,
    ]
    if best:
        rows = [
            (leader.store_id, leader.masked, money(leader.total_sales, currency), money(leader.incentive, currency))
            for leader in best[:_LEADERS_IN_PREVIEW]
        ]
        parts.append(markdown_table(("Store", "Leader", "Sales", "Incentive"), rows, 2))
        if len(best) > len(rows):
            parts.append(f"And {number(len(best) - len(rows))} more in the report.")
    if groups:
        parts.append("Customers: " + ", ".join(f"{number(group.customers)} {group.name}" for group in groups) + ".")
    return "\n\n".join(parts)
