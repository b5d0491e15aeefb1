"""The daily report: what one batch brought, how the month stands, and what needs somebody's attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl

from salesmart_assets.contracts import Contract
from salesmart_assets.contracts.tables import UNKNOWN_KEY
from salesmart_assets.reports import plots
from salesmart_assets.reports.figures import (
    ZERO,
    Leader,
    PriceChange,
    Quality,
    coupons,
    first_of_month,
    latest_sale_date,
    leaders,
    price_changes,
    quality,
    sales_by_day,
    sales_by_store,
    segments,
)
from salesmart_assets.reports.page import (
    FileLine,
    Frames,
    Report,
    Shortlist,
    average,
    change,
    markdown,
    markdown_table,
    money,
    number,
    plural,
    render,
)
from salesmart_assets.reports.stock import stock_warnings

__all__ = ["FileLine", "Frames", "Report", "daily_report"]

_DAYS_PLOTTED = 30
_STORES_PLOTTED = 12
_LEADERS_SHOWN = 300
_DATES_SHOWN = 31
_PRODUCTS_SHOWN = 25
_UNKNOWN_SHOWN = 10
_SILENT_SHOWN = 10
_LEADERS_IN_PREVIEW = 5
_LINES_AT_ONCE = 20_000_000
"""So many lines are looked through for their receipts at a time: all receipts of a large day do not fit into memory."""


@dataclass(frozen=True, slots=True)
class DaySales:
    """One sale date of the batch: all its sales, and how many of its lines came with this batch."""

    sales_date: date
    total_sales: Decimal
    lines: int
    receipts: int
    lines_of_batch: int


@dataclass(frozen=True, slots=True)
class Headline:
    """The sales of all sale dates of the batch. A line without a receipt number counts as a receipt of its own."""

    days: Sequence[DaySales]
    total_sales: Decimal
    lines: int
    receipts: int
    customers: int

    @property
    def average_basket(self) -> Decimal | None:
        """Sales per receipt, rounded half up."""
        return average(self.total_sales, self.receipts)

    @property
    def period(self) -> str | None:
        """The sale dates in words."""
        if not self.days:
            return None
        first, last = self.days[0].sales_date, self.days[-1].sales_date
        return f"{first}" if first == last else f"{first} to {last}"


@dataclass(frozen=True, slots=True)
class UnknownMember:
    """A member that sales name and its dimension does not know."""

    natural_id: str
    lines: int
    total_sales: Decimal


@dataclass(frozen=True, slots=True)
class UnknownMembers:
    """The unknown members of one dimension, most lines first."""

    dimension: str
    lines: int
    members: Shortlist[UnknownMember]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.members.rows) + self.members.more


def daily_report(
    frames: Frames,
    files: Sequence[FileLine],
    batch_date: date,
    *,
    contracts: Mapping[str, Contract],
    expiry_days: int,
    currency: str,
    made_at: datetime,
) -> Report:
    """The report of one batch.

    `files` are the files of the batch; `contracts`, by source, say what a rejected row broke. The headline covers the batch's
    sale dates, whole: also the lines that other batches brought for them. Month figures are those of the month of the batch's
    last sale date, as they are now; without sales in the batch, of its own month. `expiry_days` is how far ahead expiring
    products are listed. `made_at` in UTC.
    """
    dates = _sale_dates(frames, batch_date)
    headline = _headline(frames, dates, batch_date)
    last_day = _last_day(dates, batch_date)
    month = first_of_month(last_day)
    first_day = last_day - timedelta(days=_DAYS_PLOTTED - 1)
    by_day = sales_by_day(frames, first_day, last_day)
    stores = sales_by_store(frames, month)
    best = leaders(frames, month)
    found = quality(frames, files, contracts, batch_date, batch_date)
    unknown = _unknown_members(frames, dates)
    latest = latest_sale_date(frames)
    store_days = _stores_on(frames, [day for day in dates if first_of_month(day) == month])
    top_stores = [(f"Store {store}", amount) for store, amount in stores[:_STORES_PLOTTED]]
    top_days = [store_days.get(store, ZERO) for store, _ in stores[:_STORES_PLOTTED]] if dates else ()
    groups = segments(frames, month)
    html = render(
        "daily.html.j2",
        {
            "batch_date": batch_date,
            "made_at": made_at,
            "latest": latest,
            "month": f"{month:%Y-%m}",
            "headline": headline,
            "dates": Shortlist.of(headline.days[::-1], _DATES_SHOWN),
            "week_before": _on_week_before(frames, headline),
            "by_day": by_day,
            "first_day": first_day,
            "last_day": last_day,
            "day_plot": plots.by_day(by_day, f"Sales by day, {first_day} to {last_day}", highlight=dates),
            "stores": stores,
            "stores_plotted": _STORES_PLOTTED,
            "store_days": store_days,
            "store_plot": plots.by_name(top_stores, f"Sales by store in {month:%Y-%m}", parts=top_days),
            "silent": Shortlist.of(_silent_stores(frames, first_day, last_day) if dates else [], _SILENT_SHOWN),
            "segments": groups,
            "segment_plot": plots.by_name(
                [(group.name, Decimal(group.customers)) for group in groups], f"Customers by segment in {month:%Y-%m}"
            ),
            "coupons": coupons(frames, month),
            "leaders": Shortlist.of(best, _LEADERS_SHOWN),
            "incentives": sum((leader.incentive for leader in best), ZERO),
            "prices": Shortlist.of(_price_changes(frames, batch_date), _PRODUCTS_SHOWN),
            "expiry_days": expiry_days,
            "stock": Shortlist.of(stock_warnings(frames("dim_product"), _fact(frames, dates), batch_date, expiry_days), _PRODUCTS_SHOWN),
            "quality": found,
            "unknown": unknown,
        },
        currency=currency,
    )
    return Report(html, _preview(batch_date, headline, best, found, unknown, currency))


def _sale_dates(frames: Frames, batch_date: date) -> list[date]:
    staged = frames("stg_sales").filter(pl.col("batch_date") == batch_date)
    return sorted(staged.select(pl.col("sales_date").unique()).collect().to_series().to_list())


def _last_day(dates: Sequence[date], batch_date: date) -> date:
    """The day on which the plots end: one far-off date in a file must not move them into the future."""
    plausible = [day for day in dates if day <= batch_date + timedelta(days=1)]
    return max(plausible or dates or [batch_date])


def _fact(frames: Frames, dates: Sequence[date]) -> pl.LazyFrame:
    """The fact on those sale dates; both conditions name the partition column only, so that other days are never opened."""
    first, last = (dates[0], dates[-1]) if dates else (date.max, date.max)
    return frames("fact_sales").filter(pl.col("sales_date").is_between(first, last) & pl.col("sales_date").is_in(list(dates)))


def _headline(frames: Frames, dates: Sequence[date], batch_date: date) -> Headline:
    fact = _fact(frames, dates)
    # A contract of the user's own may leave receipt numbers out.
    numbered = "transaction_id" in fact.collect_schema()
    fact = fact.with_columns((pl.col("transaction_id") if numbered else pl.lit(None, pl.String)).alias("receipt"))
    by_date = (
        fact.group_by("sales_date")
        .agg(
            pl.col("total_cost").sum(),
            pl.len().cast(pl.Int64).alias("lines"),
            pl.col("receipt").null_count().cast(pl.Int64).alias("receipts"),
            (pl.col("batch_date") == batch_date).sum().cast(pl.Int64).alias("lines_of_batch"),
        )
        .sort("sales_date")
        .collect(engine="streaming")
    )
    customers = fact.select("customer_id").unique().select(pl.len()).collect(engine="streaming")
    numbered_receipts = _receipts(fact, int(by_date["lines"].sum()))
    days = [
        DaySales(day, total, lines, unnumbered + numbered_receipts[day], of_batch)
        for day, total, lines, unnumbered, of_batch in by_date.iter_rows()
    ]
    return Headline(
        days,
        sum((day.total_sales for day in days), ZERO),
        sum(day.lines for day in days),
        sum(day.receipts for day in days),
        customers.item(),
    )


def _receipts(fact: pl.LazyFrame, lines: int) -> Counter[date]:
    """The receipts with a number, by sale date: a number tells receipts apart within a store and a day."""
    parts = 1 + lines // _LINES_AT_ONCE
    found: Counter[date] = Counter()
    for part in range(parts):
        counted = (
            fact.filter(pl.col("receipt").is_not_null() & (pl.col("store_id").hash() % parts == part))
            .select("sales_date", "store_id", "receipt")
            .unique()
            .group_by("sales_date")
            .len()
            .collect(engine="streaming")
        )
        found.update(dict(counted.iter_rows()))
    return found


def _on_week_before(frames: Frames, headline: Headline) -> str:
    """How a batch with one sale date compares with the same day of the week before; nothing where there is nothing to say."""
    if len(headline.days) != 1:
        return ""
    day = headline.days[0].sales_date - timedelta(days=7)
    changed = change(headline.total_sales, sales_by_day(frames, day, day)[day])
    return f"{changed} on {day}, a week before" if changed else ""


def _stores_on(frames: Frames, days: Sequence[date]) -> dict[int, Decimal]:
    """What each store sold on these days."""
    first, last = (days[0], days[-1]) if days else (date.max, date.max)
    found = (
        frames("daily_seller_sales")
        .filter(pl.col("sales_date").is_between(first, last) & pl.col("sales_date").is_in(list(days)))
        .group_by("store_id")
        .agg(pl.col("total_sales").sum())
        .collect()
    )
    return dict(found.iter_rows())


def _silent_stores(frames: Frames, first: date, last: date) -> list[tuple[int, date]]:
    """Stores that sold something since `first`, but nothing on `last`, with the last day on which they did; the longest silent first."""
    found = (
        frames("daily_seller_sales")
        .filter(pl.col("sales_date").is_between(first, last))
        .group_by("store_id")
        .agg(pl.col("sales_date").max())
        .filter(pl.col("sales_date") < last)
        .sort("sales_date", "store_id")
        .collect()
    )
    return list(found.iter_rows())


def _price_changes(frames: Frames, batch_date: date) -> list[PriceChange]:
    """Versions that begin on the batch date, and those that the batch announced for another day, biggest change first."""
    staged = frames("stg_products").filter(pl.col("batch_date") == batch_date)
    starts = pl.col("batch_date")
    if "effective_date" in staged.collect_schema():
        starts = pl.coalesce("effective_date", "batch_date")
    announced = staged.select("product_id", starts.alias("valid_from"), pl.lit(True).alias("announced")).unique()
    versions = frames("dim_product").join(announced, on=["product_id", "valid_from"], how="left")
    return price_changes(versions.filter(pl.col("announced").is_not_null() | (pl.col("valid_from") == batch_date)))


def _unknown_members(frames: Frames, dates: Sequence[date]) -> list[UnknownMembers]:
    """Of every dimension that has any, on the batch's sale dates."""
    fact = _fact(frames, dates)
    product = pl.col("product_name")
    if "product_id" in fact.collect_schema():
        product = pl.coalesce(pl.format("{}", "product_id"), "product_name")
    natural_ids = {
        "customer": ("customer_key", pl.format("{}", "customer_id")),
        "store": ("store_key", pl.format("{}", "store_id")),
        "product": ("product_key", product),
        "seller": ("sales_person_key", pl.format("{}", "sales_person_id")),
    }
    found = pl.collect_all(
        [
            fact.filter(pl.col(key) == UNKNOWN_KEY)
            .group_by(natural_id.alias("natural_id"))
            .agg(pl.len().cast(pl.Int64).alias("lines"), pl.col("total_cost").sum())
            .sort(["lines", "natural_id"], descending=[True, False])
            for key, natural_id in natural_ids.values()
        ]
    )
    return [
        UnknownMembers(dimension, int(rows["lines"].sum()), Shortlist.of([UnknownMember(*row) for row in rows.iter_rows()], _UNKNOWN_SHOWN))
        for dimension, rows in zip(natural_ids, found, strict=True)
        if len(rows)
    ]


def _preview(
    batch_date: date, headline: Headline, best: Sequence[Leader], found: Quality, unknown: Sequence[UnknownMembers], currency: str
) -> str:
    """A few lines of Markdown for people who look in passing: no name in it."""
    basket = headline.average_basket
    facts = [
        f"sales **{money(headline.total_sales, currency)}**",
        plural(headline.lines, "line"),
        plural(headline.receipts, "receipt"),
        plural(headline.customers, "customer"),
        *([f"average basket {money(basket, currency)}"] if basket is not None else []),
    ]
    sold = f"Sale dates {headline.period}: {' · '.join(facts)}" if headline.days else "No sales in this batch"
    parts = [
        f"**Batch {batch_date}.** {sold}.",
        found.summary,
    ]
    if best:
        rows = [
            (leader.store_id, leader.masked, money(leader.total_sales, currency), money(leader.incentive, currency))
            for leader in best[:_LEADERS_IN_PREVIEW]
        ]
        parts.append(markdown_table(("Store", "Leader of the month", "Sales", "Incentive"), rows, 2))
        if len(best) > len(rows):
            parts.append(f"And {number(len(best) - len(rows))} more in the report.")
    if unknown:
        parts.append("Unknown: " + ", ".join(plural(u.count, markdown(u.dimension)) for u in unknown) + ".")
    return "\n\n".join(parts)
