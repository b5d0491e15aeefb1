"""The fact: each sold line once, with the versions of customer, store, product and seller that were true on the day.

No row is lost for want of a dimension row: an unknown member has the key -1.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from salesmart_assets.contracts import Contract, Table
from salesmart_assets.contracts.tables import MONEY, UNKNOWN_KEY
from salesmart_assets.transforms.asof import as_of, serves, serving_from, small
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
    rows = _ranked(staged_sales, contract).where("_place = 1").drop("_place")
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
    """How many rows of each file the fact leaves out as duplicates: `file_id`, `sales_date`, `duplicates`; only where there are any."""
    lost = _ranked(staged_sales, contract).where("_place > 1")
    return lost.groupBy("file_id", "sales_date").agg(F.count(F.lit(1)).alias("duplicates"))


def _ranked(staged: DataFrame, contract: Contract) -> DataFrame:
    """Staged rows with `_place`: 1 for the one that stays, 2 and more for its duplicates."""
    if not contract.business_key:
        return staged.withColumn("_place", F.lit(1))
    complete = F.lit(True)
    for name in contract.business_key:
        complete = complete & F.col(name).isNotNull()
    # A row with an incomplete key is a group of its own.
    alone = [F.when(~complete, F.col(name)) for name in ("file_id", "source_row")]
    order = [F.col(name).desc() for name in ("batch_date", "source_file", "source_row", "file_id")]
    window = Window.partitionBy(*contract.business_key, *alone).orderBy(*order)
    return staged.withColumn("_place", F.row_number().over(window))


def product_references(sales: DataFrame) -> DataFrame:
    """Every distinct mention of a product: `product_id` (may be NULL), `product_name`, `sales_date`."""
    product = F.col("product_id") if "product_id" in sales.columns else F.lit(None).cast("bigint").alias("product_id")
    return sales.select(product, "product_name", "sales_date").distinct()


def products_by_id(references: DataFrame, dim_product: DataFrame) -> DataFrame:
    """`product_id`, `sales_date` of the references that have an id, with the product's key, list price and cost; NULL if unknown."""
    named = references.where(F.col("product_id").isNotNull()).select("product_id", "sales_date").distinct()
    return as_of(named, "product_id", "sales_date", small(dim_product), "product_id", _product_columns())


def products_by_name(references: DataFrame, dim_product: DataFrame) -> DataFrame:
    """`product_name`, `sales_date` of the references without an id, with key, list price and cost where the name is that of one product.

    Products that were sold under the name that day come first; only where there is none, one that came later or is
    deleted stands in. A name that two or more of them share is unknown.
    """
    names = references.where(F.col("product_id").isNull()).select("product_name", "sales_date").distinct()
    versions = dim_product.select(
        F.col("name").alias("_name"),
        F.col("valid_from").alias("_valid_from"),
        serving_from("product_id").alias("_from"),
        F.col("valid_to").alias("_to"),
        F.col("is_deleted").alias("_is_deleted"),
        *(expression.alias(name) for name, expression in _product_columns().items()),
    )
    true_then = ~F.col("_is_deleted") & (F.col("sales_date") >= F.col("_valid_from"))
    found = names.join(small(versions), (F.col("product_name") == F.col("_name")) & serves("sales_date")).withColumn("_true", true_then)
    counted = found.groupBy("product_name", "sales_date").agg(
        F.sum(F.col("_true").cast("int")).alias("_number_true"),
        F.count(F.lit(1)).alias("_number"),
        *(F.max(F.when(F.col("_true"), F.col(name))).alias(f"_true_{name}") for name in PRODUCT_COLUMNS),
        *(F.max(name).alias(f"_any_{name}") for name in PRODUCT_COLUMNS),
    )
    one_true, only_one = F.col("_number_true") == 1, (F.col("_number_true") == 0) & (F.col("_number") == 1)
    return counted.select(
        "product_name",
        "sales_date",
        *(F.when(one_true, F.col(f"_true_{name}")).when(only_one, F.col(f"_any_{name}")).alias(name) for name in PRODUCT_COLUMNS),
    )


def _product_columns() -> dict[str, Column]:
    return {"product_key": F.col("product_key"), "list_price": F.col("price"), "list_cost": F.col("cost")}


def _with_products(rows: DataFrame, references: DataFrame, dim_product: DataFrame) -> DataFrame:
    """`rows` with the product columns.

    Products may have a version a day, so versions are looked up once per mention and day, not once per sold line.
    """
    by_name = _renamed(products_by_name(references, dim_product), ("product_name", "sales_date"), "name")
    if "product_id" not in rows.columns:
        named = F.col("product_name") == F.col("_name_product_name")
        joined = rows.join(by_name, named & (F.col("sales_date") == F.col("_name_sales_date")), "left")
        return joined.withColumns({name: F.col(f"_name_{name}") for name in PRODUCT_COLUMNS})
    by_id = _renamed(products_by_id(references, dim_product), ("product_id", "sales_date"), "id")
    rows = rows.withColumn("_sold_as", F.when(F.col("product_id").isNull(), F.col("product_name")))
    joined = rows.join(
        by_id, (F.col("product_id") == F.col("_id_product_id")) & (F.col("sales_date") == F.col("_id_sales_date")), "left"
    ).join(by_name, (F.col("_sold_as") == F.col("_name_product_name")) & (F.col("sales_date") == F.col("_name_sales_date")), "left")
    return joined.withColumns({name: F.coalesce(F.col(f"_id_{name}"), F.col(f"_name_{name}")) for name in PRODUCT_COLUMNS})


def _renamed(found: DataFrame, join: Sequence[str], prefix: str) -> DataFrame:
    return found.select(*(F.col(name).alias(f"_{prefix}_{name}") for name in (*join, *PRODUCT_COLUMNS)))
