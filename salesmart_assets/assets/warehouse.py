"""The warehouse: four dimensions, one fact table, and the daily rollups that the marts add up."""

from dagster import AssetExecutionContext, AssetsDefinition, MaterializeResult, asset

from salesmart_assets.assets.step import OWNER, PARTITIONS, TABLES, described, run_step, table_metadata
from salesmart_assets.contracts.tables import DIMENSIONS, ROLLUPS, SOURCE_OF, staging_name
from salesmart_assets.resources import PlatformResource

_KINDS = {"delta", "pyspark"}
_DIMENSION_DOCS = {
    "dim_customer": "Customers, as the loyalty programme last described them.",
    "dim_store": "Stores, as last described.",
    "dim_product": "Products with every version of price, cost, name and stock, each with the days on which it held, and the price before.",
    "dim_sales_person": "Sellers with every version of store and manager: who moves keeps past sales where they were made.",
}
_ROLLUP_DOCS = {
    "daily_seller_sales": "What each seller sold in each store on each day: the sums that the sales team's marts add up.",
    "daily_customer_sales": "What each customer bought on each day: the sums that the customer mart adds up.",
}


def dimension_asset(name: str) -> AssetsDefinition:
    """One dimension."""

    @asset(
        name=name,
        deps=[staging_name(SOURCE_OF[name])],
        group_name="warehouse",
        partitions_def=PARTITIONS,
        kinds=_KINDS,
        owners=[OWNER],
        description=described(_DIMENSION_DOCS[name], TABLES[name]),
        metadata=table_metadata(TABLES[name], "transforms/dimensions.py"),
    )
    def dimension(context: AssetExecutionContext, platform: PlatformResource) -> MaterializeResult[None]:
        from salesmart_assets.batch import dimensions

        return run_step(context, platform, lambda opened, run: dimensions.build_dimension(opened, name, run))

    return dimension


@asset(
    name="fact_sales",
    deps=["stg_sales", *DIMENSIONS],
    group_name="warehouse",
    partitions_def=PARTITIONS,
    kinds=_KINDS,
    owners=[OWNER],
    description=described(
        "Every sold line, once, with the customer, store, product and seller as they were on the day of the sale. A line whose "
        "customer or seller nobody delivered yet keeps its place, with key -1, and resolves by itself when the member arrives.",
        TABLES["fact_sales"],
    ),
    metadata=table_metadata(TABLES["fact_sales"], "transforms/fact.py"),
)
def fact_sales(context: AssetExecutionContext, platform: PlatformResource) -> MaterializeResult[None]:
    """Recompute the stale sale dates."""
    from salesmart_assets.batch import warehouse

    return run_step(context, platform, warehouse.build_fact)


def rollup_asset(name: str) -> AssetsDefinition:
    """One daily rollup."""

    @asset(
        name=name,
        deps=["fact_sales"],
        group_name="warehouse",
        partitions_def=PARTITIONS,
        kinds=_KINDS,
        owners=[OWNER],
        description=described(_ROLLUP_DOCS[name], TABLES[name]),
        metadata=table_metadata(TABLES[name], "transforms/rollups.py"),
    )
    def rollup(context: AssetExecutionContext, platform: PlatformResource) -> MaterializeResult[None]:
        from salesmart_assets.batch import warehouse

        return run_step(context, platform, lambda opened, run: warehouse.build_rollup(opened, name, run))

    return rollup


warehouse_assets = [*(dimension_asset(n) for n in DIMENSIONS), fact_sales, *(rollup_asset(n) for n in ROLLUPS)]
