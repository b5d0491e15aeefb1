"""The fact: each sold line once, with the versions of customer, store, product and seller that were true on the day.

No row is lost for want of a dimension row: an unknown member has the key -1.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from salesmart_assets.contracts import Contract, Table
from salesmart_assets.contracts.tables import MONEY, UNKNOWN_KEY
from salesmart_assets.transforms.asof import as_of, small, timeline
from salesmart_assets.transforms.shape import as_table

PRODUCT_COLUMNS = ("product_key", "list_price", "list_cost")


def fact_sales(
    staged_sales: DataFrame,
    dim_customer: DataFrame,
    dim_store: DataFrame,
    dim_product: DataFrame,
    dim_sales_person: DataFrame,
    table: Table,
    contract: Contract,
) -> DataFrame:
    """`fact_sales` from the staged rows of whole sale dates.

    Of rows with the same complete business key one stays: of the latest batch date, then file, then row. The product is
    looked up by `product_id` where the row has one, and only by that; else by its exact name.
    """
    rows = _without(staged_sales, _duplicates(staged_sales, contract))
    # The customer's table may be large, so it is left to the engine how to join it.
    rows = as_of(rows, "customer_id", "sales_date", dim_customer, "customer_id", {"customer_key": F.col("customer_key")})
    rows = as_of(rows, "store_id", "sales_date", small(dim_store), "store_id", {"store_key": F.col("store_key")})
    rows = as_of(
        rows, "sales_person_id", "sales_date", small(dim_sales_person), "sales_person_id", {"sales_person_key": F.col("sales_person_key")}
    )
    rows = _with_products(rows, product_references(staged_sales), dim_product)
    keys = {name: F.coalesce(F.col(name), F.lit(UNKNOWN_KEY)) for name in ("customer_key", "store_key", "product_key", "sales_person_key")}
    variance = (F.col("price") - F.col("list_price")).cast(MONEY)
    return as_table(rows.withColumns({**keys, "price_variance": variance}), table)


def duplicates_by_file(staged_sales: DataFrame, contract: Contract) -> DataFrame:
    """What the fact leaves out of each file as duplicates: `file_id`, `sales_date`, `duplicates` (rows), and their sums.

    The sums are `quantity` (units) and `total_cost`, both decimals wide enough for any number of rows. Only where there are any.
    """
    sums = (
        F.sum(F.col(name).cast(kind)).cast(kind).alias(name)
        for name, kind in (("quantity", "decimal(38,0)"), ("total_cost", "decimal(38,2)"))
    )
    return _duplicates(staged_sales, contract).groupBy("file_id", "sales_date").agg(F.count(F.lit(1)).alias("duplicates"), *sums)


def _duplicates(staged: DataFrame, contract: Contract) -> DataFrame:
    """The rows that the fact leaves out: `file_id`, `source_row`, `sales_date`, `quantity`, `total_cost`.

    Few rows are duplicates, so keys are counted first, and only rows whose key is there twice are put in order: sorting
    all rows, whole, takes several times as long. What is counted is a hash of the key, in less memory than keys take; a key
    that shares its hash with another is told apart when rows are put in order.
    """
    key, order = contract.business_key, ("batch_date", "source_file", "source_row", "file_id")
    shown = ("file_id", "source_row", "sales_date", "quantity", "total_cost")
    narrow = staged.select(*dict.fromkeys((*key, *order, *shown)))
    if not key:
        return narrow.where(F.lit(False)).select(*shown)
    complete = reduce(and_, (F.col(name).isNotNull() for name in key))
    hashed = narrow.where(complete).withColumn("_hash", F.xxhash64(*key))
    repeated = hashed.groupBy("_hash").agg(F.count(F.lit(1)).alias("_times")).where("_times > 1")
    candidates = repeated.select("_hash").join(hashed, "_hash")
    window = Window.partitionBy(*key).orderBy(*(F.col(name).desc() for name in order))
    lost = candidates.withColumn("_place", F.row_number().over(window)).where("_place > 1")
    return lost.select(*shown)


def _without(staged: DataFrame, duplicates: DataFrame) -> DataFrame:
    lost = duplicates.select(F.col("file_id").alias("_lost_file"), F.col("source_row").alias("_lost_row"))
    same = (F.col("_lost_file") == F.col("file_id")) & (F.col("_lost_row") == F.col("source_row"))
    return lost.join(staged, same, "right").where(F.col("_lost_row").isNull()).drop("_lost_file", "_lost_row")


def product_references(sales: DataFrame) -> DataFrame:
    """Every distinct mention of a product: `product_id` (may be NULL), `product_name`, `sales_date`."""
    product = F.col("product_id") if "product_id" in sales.columns else F.lit(None).cast("bigint").alias("product_id")
    return sales.select(product, "product_name", "sales_date").distinct()


def products_by_id(references: DataFrame, dim_product: DataFrame) -> DataFrame:
    """`product_id`, `sales_date` of the references that have the id of a known product, with its key, list price and cost."""
    mentions = references.where(F.col("product_id").isNotNull()).select("product_id", "sales_date").distinct()
    return _versions_of(mentions, "product_id", dim_product, {})


def products_by_name(references: DataFrame, dim_product: DataFrame) -> DataFrame:
    """`product_name`, `sales_date` of the references without an id whose name is that of one product, with key, list price and cost.

    Products that were sold under the name that day come first; only where there is none, one that came later or is
    deleted stands in. A name that two or more of them share is unknown.
    """
    names = references.where(F.col("product_id").isNull()).select("product_name", "sales_date").distinct()
    bearers = dim_product.select(F.col("name").alias("_bears"), F.col("product_id").alias("_bearer")).distinct()
    mentions = bearers.join(names, F.col("product_name") == F.col("_bears")).drop("_bears")
    true_then = ~F.col("_is_deleted") & (F.col("_begins") <= F.col("sales_date"))
    named = _versions_of(mentions, "_bearer", dim_product, {"product_name": "string"}).where(F.col("_name") == F.col("product_name"))
    counted = (
        named.withColumn("_true", true_then)
        .groupBy("product_name", "sales_date")
        .agg(
            F.sum(F.col("_true").cast("int")).alias("_number_true"),
            F.count(F.lit(1)).alias("_number"),
            *(F.max(F.when(F.col("_true"), F.col(name))).alias(f"_true_{name}") for name in PRODUCT_COLUMNS),
            *(F.max(name).alias(f"_any_{name}") for name in PRODUCT_COLUMNS),
        )
    )
    one_true, only_one = F.col("_number_true") == 1, (F.col("_number_true") == 0) & (F.col("_number") == 1)
    return counted.where(one_true | only_one).select(
        "product_name",
        "sales_date",
        *(F.when(one_true, F.col(f"_true_{name}")).otherwise(F.col(f"_any_{name}")).alias(name) for name in PRODUCT_COLUMNS),
    )


def _versions_of(mentions: DataFrame, member: str, dim_product: DataFrame, kept: Mapping[str, str]) -> DataFrame:
    """`mentions` of known products with the version of their day: its key, list price and cost, name and when it is true."""
    versions = dim_product.select(
        F.col("product_key").alias("_key"),
        F.col("price").alias("list_price"),
        F.col("cost").alias("list_cost"),
        F.col("name").alias("_name"),
        F.col("valid_from").alias("_begins"),
        F.col("is_deleted").alias("_is_deleted"),
    )
    placed = timeline(mentions, member, "sales_date", dim_product, "product_id", "product_key", kept)
    return placed.join(versions, F.col("product_key") == F.col("_key")).drop("_key")


def _with_products(rows: DataFrame, references: DataFrame, dim_product: DataFrame) -> DataFrame:
    """`rows` with the product columns.

    Products may have a version a day, so versions are looked up once per mention and day, not once per sold line. Ids and
    names are looked up as one text, marked by what it is, so that the many rows are joined once and not twice.
    """
    by_id, by_name = products_by_id(references, dim_product), products_by_name(references, dim_product)
    day = F.col("sales_date").alias("_day")
    known = by_id.select(_mention("product_id"), day, *PRODUCT_COLUMNS).unionByName(
        by_name.select(_mention("product_name"), day, *PRODUCT_COLUMNS)
    )
    mention = F.coalesce(_mention("product_id"), _mention("product_name")) if "product_id" in rows.columns else _mention("product_name")
    sold = rows.withColumn("_sold_as", mention)
    # Of products and days there are few beside sold lines.
    return small(known).join(sold, (F.col("_sold_as") == F.col("_mention")) & (F.col("sales_date") == F.col("_day")), "right")


def _mention(column: str) -> Column:
    return F.concat(F.lit(f"{column}="), F.col(column).cast("string")).alias("_mention")
