"""The figures that both reports show: sales by day and store, who leads each store, and how good the data was.

Every query filters on the partition column of its table, so that a report costs what its days and its month cost,
however long the history is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import polars as pl

from salesmart_assets.contracts import Contract
from salesmart_assets.ingest.codes import meaning
from salesmart_assets.reports.page import FileLine, Frames, Shortlist, change, masked, number, plural

ZERO = Decimal(0)
_FILES_SHOWN = 20
_CODES_SHOWN = 15
_SEGMENTS = ("loyal", "regular", "occasional")


@dataclass(frozen=True, slots=True)
class Leader:
    """A seller who leads a store in a month, or earns an incentive there."""

    store_id: int
    sales_person_id: int
    full_name: str | None
    rank: int
    total_sales: Decimal
    incentive: Decimal

    @property
    def masked(self) -> str:
        """The seller without the name."""
        return masked(self.full_name) or f"seller {self.sales_person_id}"


@dataclass(frozen=True, slots=True)
class Segment:
    """The customers who shop with the same consistency."""

    name: str
    customers: int
    total_sales: Decimal


@dataclass(frozen=True, slots=True)
class Coupons:
    """How many customers got a coupon of so many percent."""

    percent: int
    customers: int


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A product whose list price changed."""

    product_id: int
    name: str | None
    valid_from: date
    previous_price: Decimal
    price: Decimal

    @property
    def change(self) -> str | None:
        """The change in percent."""
        return change(self.price, self.previous_price)


@dataclass(frozen=True, slots=True)
class SourceQuality:
    """The files of one source and their rows, added up."""

    source: str
    files: int
    read: int
    accepted: int
    rejected: int
    duplicate: int


@dataclass(frozen=True, slots=True)
class Reason:
    """How many rows of a source broke a rule, by the rule's code, and what that means."""

    source: str
    code: str
    rows: int
    meaning: str | None


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the data of a batch or a month was."""

    sources: Sequence[SourceQuality]
    total: SourceQuality
    notable: Shortlist[FileLine]
    """Files that were not simply loaded: rejected, given up, unfinished, or with rejected rows."""
    reasons: Shortlist[Reason]

    @property
    def summary(self) -> str:
        """What became of the rows, in one sentence."""
        total = self.total
        return (
            f"{plural(total.files, 'file')}: {plural(total.read, 'row')} read, {number(total.accepted)} accepted, "
            f"{number(total.rejected)} rejected, {number(total.duplicate)} duplicate."
        )


def first_of_month(day: date) -> date:
    """The first day of the month of `day`."""
    return day.replace(day=1)


def next_month(month: date) -> date:
    """The first day of the month after."""
    return first_of_month(first_of_month(month) + timedelta(days=31))


def month_before(month: date) -> date:
    """The first day of the month before."""
    return first_of_month(first_of_month(month) - timedelta(days=1))


def of_month(frames: Frames, table: str, month: date) -> pl.LazyFrame:
    """A mart's rows of a month."""
    return frames(table).filter(pl.col("sales_month") == month)


def sales_by_day(frames: Frames, first: date, last: date) -> dict[date, Decimal]:
    """Sales of every day from `first` to `last`, both included; 0 on days without any."""
    found = (
        frames("daily_seller_sales")
        .filter(pl.col("sales_date").is_between(first, last))
        .group_by("sales_date")
        .agg(pl.col("total_sales").sum())
        .collect()
    )
    amounts: dict[date, Decimal] = dict(found.iter_rows())
    return {day: amounts.get(day, ZERO) for day in (first + timedelta(days=n) for n in range((last - first).days + 1))}


def sales_by_store(frames: Frames, month: date) -> list[tuple[int, Decimal]]:
    """Sales of every store in the month, the best first."""
    found = (
        of_month(frames, "sales_team_mart", month)
        .group_by("store_id")
        .agg(pl.col("total_sales").sum())
        .sort(["total_sales", "store_id"], descending=[True, False])
        .collect()
    )
    return list(found.iter_rows())


def sales_of_month(frames: Frames, month: date) -> Decimal | None:
    """Sales of a month; None where nothing is known of it."""
    rows, total = of_month(frames, "sales_team_mart", month).select(pl.len(), pl.col("total_sales").sum().alias("sum")).collect().row(0)
    return total if rows else None


def leaders(frames: Frames, month: date) -> list[Leader]:
    """Per store everybody on rank 1 and everybody else with an incentive, by store and rank."""
    found = (
        of_month(frames, "sales_team_mart", month)
        .filter((pl.col("rank_in_store") == 1) | (pl.col("incentive") > 0))
        .sort("store_id", "rank_in_store", "sales_person_id")
        .select("store_id", "sales_person_id", "full_name", "rank_in_store", "total_sales", "incentive")
        .collect()
    )
    return [Leader(*row) for row in found.iter_rows()]


def segments(frames: Frames, month: date) -> list[Segment]:
    """All segments, the most consistent first; also those that nobody belongs to, unless there are no customers at all."""
    found = of_month(frames, "customer_mart", month).group_by("segment").agg(pl.len().cast(pl.Int64), pl.col("total_sales").sum()).collect()
    counted = {name: (customers, sales) for name, customers, sales in found.iter_rows()}
    if not counted:
        return []
    names = [*_SEGMENTS, *sorted(counted.keys() - set(_SEGMENTS))]
    return [Segment(name, *counted.get(name, (0, ZERO))) for name in names]


def coupons(frames: Frames, month: date) -> list[Coupons]:
    """The coupons of the month's customers, by percent."""
    found = (
        of_month(frames, "customer_mart", month)
        .group_by("coupon_percent")
        .agg(pl.len().cast(pl.Int64))
        .sort("coupon_percent", descending=True)
        .collect()
    )
    return [Coupons(*row) for row in found.iter_rows()]


def price_changes(versions: pl.LazyFrame) -> list[PriceChange]:
    """Of versions of `dim_product` those with another price than before, the biggest change first."""
    found = (
        versions.filter(pl.col("previous_price").is_not_null() & (pl.col("price") != pl.col("previous_price")) & ~pl.col("is_deleted"))
        .select("product_id", "name", "valid_from", "previous_price", "price")
        .collect()
    )
    changes = [PriceChange(*row) for row in found.iter_rows()]
    return sorted(changes, key=lambda c: (-abs(c.price - c.previous_price) / (c.previous_price or Decimal(1)), c.product_id, c.valid_from))


def latest_sale_date(frames: Frames) -> date | None:
    """The latest day with a sale. Found by way of the latest month, so that not every day's file is opened."""
    month = frames("sales_team_mart").select(pl.col("sales_month").max()).collect().item()
    if month is None:
        return None
    days = frames("daily_seller_sales").filter(pl.col("sales_date").is_between(month, next_month(month), closed="left"))
    latest: date | None = days.select(pl.col("sales_date").max()).collect().item()
    return latest


def quality(frames: Frames, files: Sequence[FileLine], contracts: Mapping[str, Contract], first: date, last: date) -> Quality:
    """Rows and files as the ledger counts them, and the broken rules of the batches from `first` to `last`, both included."""
    codes = (
        frames("rejected_rows")
        .filter(pl.col("batch_date").is_between(first, last))
        .select("source", pl.col("codes").str.split(",").alias("code"))
        .explode("code", empty_as_null=False)
        .with_columns(pl.col("code").str.strip_chars())
        .filter(pl.col("code") != "")
        .group_by("source", "code")
        .agg(pl.len().cast(pl.Int64).alias("rows"))
        .sort(["rows", "source", "code"], descending=[True, False, False])
        .collect()
    )
    notable = [file for file in files if file.outcome not in ("loaded", "duplicate", "empty", "superseded") or file.rows_rejected]
    notable.sort(key=lambda file: (file.outcome == "loaded", file.source, file.key))
    reasons = [Reason(source, code, rows, _meaning(code, contracts.get(source))) for source, code, rows in codes.iter_rows()]
    return Quality(
        sources=[_sum(source, [file for file in files if file.source == source]) for source in sorted({file.source for file in files})],
        total=_sum("all", files),
        notable=Shortlist.of(notable, _FILES_SHOWN),
        reasons=Shortlist.of(reasons, _CODES_SHOWN),
    )


def _meaning(code: str, contract: Contract | None) -> str | None:
    """What a code means; None for the rule of a contract that is no longer the source's."""
    try:
        return meaning(code, contract)
    except KeyError:
        return None


def _sum(source: str, files: Sequence[FileLine]) -> SourceQuality:
    return SourceQuality(
        source,
        len(files),
        sum(file.rows_read for file in files),
        sum(file.rows_accepted for file in files),
        sum(file.rows_rejected for file in files),
        sum(file.rows_duplicate for file in files),
    )
