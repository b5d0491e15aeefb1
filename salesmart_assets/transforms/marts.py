"""The monthly marts: who leads each store and earns the incentive, how customers shop, what each manager's team sold.

Each takes daily rollups of whole months. Names, addresses and managers are as of the month's last day, or today while
the month lasts. Members whom no dimension knows have their rows all the same, without a name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import TypeVar

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from salesmart_assets.contracts import Table
from salesmart_assets.contracts.tables import SUM
from salesmart_assets.settings import RATE_DECIMALS, CouponPolicy, IncentivePolicy
from salesmart_assets.transforms.asof import as_of, small
from salesmart_assets.transforms.shape import as_table, divided, divided_cents, month_of

LOYAL_DAYS = 4
"""On so many days a customer buys in a month, or more, to count as consistent."""
COUPON_LENGTH = 20
"""Hexadecimal digits of a coupon's code: 80 bits, so that among a billion coupons no two are alike."""
_RATE = f"decimal({RATE_DECIMALS + 1},{RATE_DECIMALS})"
_BLOCK = 64

Policy = TypeVar("Policy", IncentivePolicy, CouponPolicy)


def sales_team_mart(
    daily_seller: DataFrame, dim_sales_person: DataFrame, table: Table, policies: Sequence[IncentivePolicy], today: date
) -> DataFrame:
    """What each seller sold in each store each month, the rank there, and the incentive under the month's policy.

    Ranks up to the policy's `top` earn its `rate` of their own total. Of sellers who tie (`ties`): `all` earn; or they
    `split` what their paid places would bring, equally; or, with `none`, nobody of a tie that reaches beyond `top`
    earns. Who has sold nothing worth an amount earns 0.00. Each amount is rounded half up to two decimals, also a share
    of a split: equal sellers earn equal amounts, so their sum may miss the amount split by half a cent for each.
    """
    place = Window.partitionBy("sales_month", "store_id")
    rows = (
        daily_seller.withColumn("sales_month", month_of("sales_date"))
        .groupBy("sales_month", "store_id", "sales_person_id")
        .agg(F.sum("total_sales").cast(SUM).alias("total_sales"), F.sum("number_of_sales").alias("number_of_sales"))
        .withColumn("rank_in_store", F.rank().over(place.orderBy(F.col("total_sales").desc())))
        .withColumn("_tied", F.count(F.lit(1)).over(Window.partitionBy("sales_month", "store_id", "total_sales")))
        .withColumn("_as_of", _shown_as_of(today))
    )
    rows = rows.withColumn("incentive", _incentive(policies))
    rows = as_of(
        rows,
        "sales_person_id",
        "_as_of",
        small(dim_sales_person),
        "sales_person_id",
        {"full_name": _full_name(), "manager_id": F.col("manager_id")},
    )
    rows = as_of(rows, "manager_id", "_as_of", small(dim_sales_person), "sales_person_id", {"manager_name": _full_name()})
    return as_table(rows, table)


def customer_mart(
    daily_customer: DataFrame,
    dim_customer: DataFrame,
    table: Table,
    policies: Sequence[CouponPolicy],
    secret: bytes,
    today: date,
    months: Sequence[date],
) -> DataFrame:
    """What each customer bought in each of `months` (first days), how consistently, and the coupon for the next purchase.

    `daily_customer` has whole months, the month before each of `months` included. The code of a coupon is
    HMAC-SHA256(secret, "YYYY-MM|customer_id"), its first 20 hexadecimal digits: who lacks the secret can't guess it.
    """
    of_customer = Window.partitionBy("customer_id").orderBy("sales_month")
    follows = F.lag("sales_month").over(of_customer) == F.add_months(F.col("sales_month"), -1)
    rows = (
        daily_customer.withColumn("sales_month", month_of("sales_date"))
        .groupBy("sales_month", "customer_id")
        .agg(
            F.sum("total_sales").cast(SUM).alias("total_sales"),
            F.sum("orders").alias("orders"),
            F.count(F.lit(1)).alias("active_days"),
            F.min("sales_date").alias("first_purchase"),
            F.max("sales_date").alias("last_purchase"),
        )
        .withColumn("_before", F.when(follows, F.lag("total_sales").over(of_customer)))
        .where(F.col("sales_month").isin(*months) if months else F.lit(False))
        .withColumn("_as_of", _shown_as_of(today))
    )
    again, often = F.col("_before").isNotNull(), F.col("active_days") >= LOYAL_DAYS
    segment = F.when(again & often, "loyal").when(again | often, "regular").otherwise("occasional")
    rows = rows.withColumns(
        {
            "average_basket": divided(F.col("total_sales"), F.col("orders")),
            "change_on_month_before": F.col("total_sales") - F.col("_before"),
            "segment": segment,
        }
    )
    percent = (
        F.when(F.col("segment") == "loyal", _by_policy(policies, lambda p: F.lit(p.loyal_percent)))
        .when(F.col("segment") == "regular", _by_policy(policies, lambda p: F.lit(p.regular_percent)))
        .otherwise(_by_policy(policies, lambda p: F.lit(p.occasional_percent)))
    )
    valid_days = F.coalesce(_by_policy(policies, lambda p: F.lit(p.valid_days)), F.lit(0)).cast("int")
    rows = rows.withColumns(
        {"coupon_percent": F.coalesce(percent, F.lit(0)), "coupon_expiry": F.date_add(F.last_day("sales_month"), valid_days)}
    )
    rows = _with_coupon_code(rows, secret)
    shown = {"full_name": _full_name(), "address": F.col("address"), "phone_number": F.col("phone_number")}
    return as_table(as_of(rows, "customer_id", "_as_of", dim_customer, "customer_id", shown), table)


def manager_mart(daily_seller: DataFrame, bridge: DataFrame, dim_sales_person: DataFrame, table: Table, today: date) -> DataFrame:
    """What the team below each manager sold each month, added up the management tree as it stood on each day of sale.

    `bridge` has a row for each date, manager and seller anywhere below: see `management.management_bridge`.
    """
    sold = daily_seller.groupBy("sales_date", "sales_person_id").agg(
        F.sum("total_sales").cast(SUM).alias("_total"), F.sum("number_of_sales").alias("_lines")
    )
    by_seller = (
        bridge.select("sales_date", "sales_person_id", "manager_id", "level")
        .join(sold, ["sales_date", "sales_person_id"])
        .withColumn("sales_month", month_of("sales_date"))
        .groupBy("sales_month", "manager_id", "sales_person_id")
        .agg(
            F.sum(F.when(F.col("level") == 1, F.col("_total")).otherwise(F.lit(0).cast(SUM))).cast(SUM).alias("_direct"),
            F.sum("_total").cast(SUM).alias("_team"),
            F.sum("_lines").alias("_lines"),
        )
    )
    rows = (
        by_seller.groupBy("sales_month", "manager_id")
        .agg(
            F.sum("_direct").cast(SUM).alias("direct_sales"),
            F.sum("_team").cast(SUM).alias("team_sales"),
            F.sum("_lines").alias("number_of_sales"),
            F.count("sales_person_id").alias("team_size"),
        )
        .withColumn("_as_of", _shown_as_of(today))
    )
    return as_table(as_of(rows, "manager_id", "_as_of", small(dim_sales_person), "sales_person_id", {"full_name": _full_name()}), table)


def _shown_as_of(today: date) -> Column:
    return F.least(F.last_day("sales_month"), F.lit(today))


def _full_name() -> Column:
    name = F.concat_ws(" ", F.col("first_name"), F.col("last_name"))
    return F.when(name != "", name)


def _by_policy(policies: Sequence[Policy], value: Callable[[Policy], Column]) -> Column:
    """`value` of the policy with the latest `from_month` not after `sales_month`; NULL before the first policy."""
    chosen = F.lit(None)
    for policy in sorted(policies, key=lambda p: p.from_month):
        chosen = F.when(F.col("sales_month") >= F.lit(policy.from_month), value(policy)).otherwise(chosen)
    return chosen


def _incentive(policies: Sequence[IncentivePolicy]) -> Column:
    """The incentive from `total_sales`, `rank_in_store` and `_tied`, the number of sellers with the same total."""
    total, rank, tied = F.col("total_sales"), F.col("rank_in_store"), F.col("_tied")
    zero = F.lit(Decimal("0.00")).cast(SUM)

    def earned(policy: IncentivePolicy) -> Column:
        pot = (total * F.lit(policy.rate).cast(_RATE)).cast(f"decimal(38,{RATE_DECIMALS + 2})")
        top = F.lit(policy.top)
        if policy.ties == "split":
            paid = F.greatest(F.least(tied, top - rank + F.lit(1)), F.lit(0))
            # In units of 10^-10 the pot is a whole number; its share in cents is that over tied × 10^8.
            units = (pot * F.lit(10 ** (RATE_DECIMALS + 2)).cast("decimal(12,0)")).cast("decimal(34,0)") * paid.cast("decimal(10,0)")
            amount = divided_cents(units, tied * F.lit(10**RATE_DECIMALS), F.lit(1).cast("decimal(1,0)"))
            earns = rank <= top
        elif policy.ties == "none":
            amount, earns = F.round(pot, 2), rank + tied - F.lit(1) <= top
        else:
            amount, earns = F.round(pot, 2), rank <= top
        return F.when(earns & (total > F.lit(0)), amount.cast(SUM)).otherwise(zero)

    return F.coalesce(_by_policy(policies, earned), zero)


def _with_coupon_code(rows: DataFrame, secret: bytes) -> DataFrame:
    """`rows` with `coupon_code`.

    HMAC is two nested hashes with the secret mixed into two pads. The pads come as data, not as literals of the plan:
    plans are shown in the engine's log and UI.
    """
    block = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(_BLOCK, b"\0")
    pads = pa.table({"_inner": [bytes(b ^ 0x36 for b in block)], "_outer": [bytes(b ^ 0x5C for b in block)]})
    message = F.concat_ws("|", F.date_format("sales_month", "yyyy-MM"), F.col("customer_id").cast("string"))
    inner = F.unhex(F.sha2(F.concat(F.col("_inner"), F.encode(message, "utf-8")), 256))
    digest = F.sha2(F.concat(F.col("_outer"), inner), 256)
    code = F.concat(F.lit("SM-"), F.upper(F.substring(digest, 1, COUPON_LENGTH)))
    return rows.crossJoin(F.broadcast(rows.sparkSession.createDataFrame(pads))).withColumn("coupon_code", code).drop("_inner", "_outer")
