"""Products that need somebody's attention: for the daily report, and for the check that says the same in the UI."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from salesmart_assets.contracts.tables import UNKNOWN_KEY

SOLD_OUT, EXPIRED, EXPIRES_SOON = "sold, not in stock", "expired", "expires soon"


@dataclass(frozen=True, slots=True)
class StockWarning:
    """A product to look after: it expires soon, has expired with stock left, or is sold though none is in stock."""

    product_id: int
    name: str | None
    stock_on_hand: int | None
    expiry_date: date | None
    units_sold: int | None
    what: str


def stock_warnings(versions: pl.LazyFrame, sold: pl.LazyFrame, day: date, expiry_days: int) -> list[StockWarning]:
    """What was sold without stock first, then by expiry date. Products as they were known on `day`.

    `versions` are those of `dim_product`, `sold` the lines of the fact to look at. A contract of the user's own may leave
    stock or expiry dates out; then nothing is said of them.
    """
    known = versions.collect_schema().names()
    for name, kind in (("stock_on_hand", pl.Int64), ("expiry_date", pl.Date)):
        if name not in known:
            versions = versions.with_columns(pl.lit(None, kind).alias(name))
    valid = versions.filter(
        (pl.col("valid_from") <= day) & (pl.col("valid_to").is_null() | (pl.col("valid_to") > day)) & ~pl.col("is_deleted")
    )
    units = (
        sold.filter(pl.col("product_key") != UNKNOWN_KEY)
        .group_by("product_key")
        .agg(pl.col("quantity").sum().alias("units_sold"))
        .join(versions.select("product_key", "product_id"), on="product_key")
        .group_by("product_id")
        .agg(pl.col("units_sold").sum())
    )
    stock, expiry = pl.col("stock_on_hand"), pl.col("expiry_date")
    soon = day + timedelta(days=min(expiry_days, (date.max - day).days))
    what = (
        pl.when((stock <= 0) & (pl.col("units_sold") > 0))
        .then(pl.lit(SOLD_OUT))
        .when((expiry < day) & (stock > 0))
        .then(pl.lit(EXPIRED))
        .when(expiry.is_between(day, soon) & ((stock > 0) | stock.is_null()))
        .then(pl.lit(EXPIRES_SOON))
    )
    found = (
        valid.join(units, on="product_id", how="left")
        .with_columns(what.alias("what"))
        .filter(pl.col("what").is_not_null())
        .sort(pl.col("what") != SOLD_OUT, "expiry_date", "product_id", nulls_last=True)
        .select("product_id", "name", "stock_on_hand", "expiry_date", "units_sold", "what")
        .collect()
    )
    return [StockWarning(*row) for row in found.iter_rows()]
