"""What a new state of a dimension changes: the days of the fact, and the members that the marts show.

Both compare what is looked up, not what is stored: a version's end or its place in a file changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from salesmart_assets.transforms.asof import as_of, serving_from, small
from salesmart_assets.transforms.fact import PRODUCT_COLUMNS, product_references, products_by_id, products_by_name


@dataclass(frozen=True, slots=True)
class _Role:
    """How the fact refers to a dimension: by which column, and which attributes of a version it keeps."""

    natural_key: str
    key: str
    attributes: tuple[str, ...] = ()


_ROLES = {
    "dim_customer": _Role("customer_id", "customer_key"),
    "dim_store": _Role("store_id", "store_key"),
    "dim_product": _Role("product_id", "product_key", ("name", "price", "cost", "is_deleted", "valid_from")),
    "dim_sales_person": _Role("sales_person_id", "sales_person_key"),
}


def dates_touched(old_dim: DataFrame | None, new_dim: DataFrame, fact_or_staged: DataFrame, dimension: str) -> DataFrame:
    """The sale dates (`sales_date`, distinct) of which a fact row would be another under the new state of `dimension`.

    A row is another if its version, or its product's list price or cost, is: members unknown before included, and
    products sold by a name that appears, vanishes or becomes ambiguous. `fact_or_staged` has `sales_date` and the natural
    keys (for products `product_name`, and `product_id` where tills know it). `old_dim` is None for the first state.
    """
    role = _ROLES[dimension]
    old = new_dim.where(F.lit(False)) if old_dim is None else old_dim
    changed = _changed(old, new_dim, role.natural_key, (role.key, *role.attributes))
    if dimension == "dim_product":
        touched = _product_days(old, new_dim, fact_or_staged, changed)
    else:
        mentions = small(changed).join(fact_or_staged.select(role.natural_key, "sales_date").distinct(), role.natural_key)
        before = as_of(mentions, role.natural_key, "sales_date", small(old), role.natural_key, {"_old": F.col(role.key)})
        both = as_of(before, role.natural_key, "sales_date", small(new_dim), role.natural_key, {"_new": F.col(role.key)})
        touched = both.where(~F.col("_old").eqNullSafe(F.col("_new"))).select("sales_date")
    return touched.distinct()


def members_changed(old_dim: DataFrame | None, new_dim: DataFrame, natural_key: str) -> DataFrame:
    """The members (`natural_key`, distinct) of which any attribute, on any day, differs between two states of a dimension."""
    old = new_dim.where(F.lit(False)) if old_dim is None else old_dim
    follow_from_others = {"valid_from", "valid_to", "is_current", "previous_price", natural_key}
    shown = [c for c in new_dim.columns if c not in follow_from_others and not c.endswith("_key")]
    return _changed(old, new_dim, natural_key, shown)


def _changed(old: DataFrame, new: DataFrame, natural_key: str, attributes: tuple[str, ...] | list[str]) -> DataFrame:
    """The members whose versions, as (day they serve from, attributes), are not the same in both states."""
    columns = (natural_key, "_from", *attributes)
    sides = [
        frame.withColumn("_from", serving_from(natural_key)).select(*columns, F.lit(side).alias("_side"))
        for frame, side in ((old, 0), (new, 1))
    ]
    versions = sides[0].unionByName(sides[1]).groupBy(*columns).agg(F.min("_side").alias("_first"), F.max("_side").alias("_last"))
    return versions.where(F.col("_first") == F.col("_last")).select(natural_key).distinct()


def _product_days(old: DataFrame, new: DataFrame, sales: DataFrame, changed: DataFrame) -> DataFrame:
    """The dates with a mention of a product that is resolved otherwise than before."""
    versions = old.select("product_id", "name").unionByName(new.select("product_id", "name"))
    names = small(changed).join(versions, "product_id").select(F.col("name").alias("_name")).distinct()
    mentions = product_references(sales)
    by_id = small(changed).join(mentions, "product_id")
    by_name = small(names).join(mentions.where(F.col("product_id").isNull()), F.col("product_name") == F.col("_name"))
    days = []
    for mentioned, resolve, member in ((by_id, products_by_id, "product_id"), (by_name, products_by_name, "product_name")):
        before = resolve(mentioned, old).select(F.col(member).alias("_member"), F.col("sales_date").alias("_day"), *_named("_old"))
        after = resolve(mentioned, new).select(member, "sales_date", *_named("_new"))
        same_mention = (F.col(member) == F.col("_member")) & (F.col("sales_date") == F.col("_day"))
        differs = F.lit(False)
        for name in PRODUCT_COLUMNS:
            differs = differs | ~F.col(f"_old_{name}").eqNullSafe(F.col(f"_new_{name}"))
        both = after.join(before, same_mention, "full").where(differs)
        days.append(both.select(F.coalesce(F.col("sales_date"), F.col("_day")).alias("sales_date")))
    return days[0].unionByName(days[1])


def _named(prefix: str) -> list[Column]:
    return [F.col(name).alias(f"{prefix}_{name}") for name in PRODUCT_COLUMNS]
