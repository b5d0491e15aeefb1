"""Daily sums of the fact, from which the marts are added up: a month is never read line by line again."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from salesmart_assets.contracts import Table
from salesmart_assets.contracts.tables import SUM
from salesmart_assets.transforms.shape import as_table


def daily_seller_sales(fact: DataFrame, table: Table) -> DataFrame:
    """What each seller sold in each store each day: sum of `total_cost`, lines and units."""
    return as_table(
        fact.groupBy("sales_date", "store_id", "sales_person_id").agg(
            F.sum("total_cost").cast(SUM).alias("total_sales"),
            F.count(F.lit(1)).alias("number_of_sales"),
            F.sum("quantity").alias("units"),
        ),
        table,
    )


def daily_customer_sales(fact: DataFrame, table: Table) -> DataFrame:
    """What each customer bought each day, and on how many receipts.

    A receipt number tells receipts apart within a store and a day; a line without one is a receipt of its own.
    """
    receipt = F.col("transaction_id") if "transaction_id" in fact.columns else F.lit(None).cast("string")
    receipts = (
        fact.select("sales_date", "customer_id", "store_id", receipt.alias("_receipt"), "total_cost")
        .groupBy("sales_date", "customer_id", "store_id", "_receipt")
        .agg(F.sum("total_cost").cast(SUM).alias("_total"), F.count(F.lit(1)).alias("_lines"))
    )
    orders = F.sum(F.when(F.col("_receipt").isNull(), F.col("_lines")).otherwise(F.lit(1)))
    return as_table(
        receipts.groupBy("sales_date", "customer_id").agg(F.sum("_total").cast(SUM).alias("total_sales"), orders.alias("orders")), table
    )
