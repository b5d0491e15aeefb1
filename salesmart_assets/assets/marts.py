"""The marts, and their publication to the database."""

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition, MaterializeResult, MetadataValue, asset

from salesmart_assets.assets.freshness import NEW_SALES_EVERY_DAY
from salesmart_assets.assets.step import OWNER, PARTITIONS, TABLES, code_at, described, run_step, table_metadata
from salesmart_assets.contracts.tables import DIMENSIONS, MARTS
from salesmart_assets.resources import PlatformResource

_DEPS = {
    "customer_mart": ["daily_customer_sales", "dim_customer"],
    "sales_team_mart": ["daily_seller_sales", "dim_sales_person"],
    "manager_mart": ["daily_seller_sales", "dim_sales_person"],
}
_DOCS = {
    "customer_mart": "Each customer's month: what was spent, how consistently, and the coupon for the next purchase.",
    "sales_team_mart": (
        "Each seller's month in each store: sales, rank, and the incentive of the store's top seller (1 % of their own sales)."
    ),
    "manager_mart": "Each manager's month: what the direct team and everybody below sold, as the team stood on the day of each sale.",
}


def mart_asset(name: str) -> AssetsDefinition:
    """One mart."""

    @asset(
        name=name,
        deps=_DEPS[name],
        group_name="marts",
        partitions_def=PARTITIONS,
        kinds={"delta", "pyspark"},
        owners=[OWNER],
        description=described(f"{_DOCS[name]} Months that the batch touches are computed whole and replaced.", TABLES[name]),
        freshness_policy=NEW_SALES_EVERY_DAY,
        metadata={**table_metadata(TABLES[name], "transforms/marts.py"), "report": MetadataValue.asset(AssetKey("monthly_report"))},
    )
    def mart(context: AssetExecutionContext, platform: PlatformResource) -> MaterializeResult[None]:
        from salesmart_assets.batch import marts

        return run_step(context, platform, lambda opened, run: marts.build_mart(opened, name, run))

    return mart


@asset(
    name="mart_publication",
    deps=[*MARTS, *DIMENSIONS, "rejected_rows"],
    group_name="marts",
    partitions_def=PARTITIONS,
    kinds={"mysql"},
    owners=[OWNER],
    description=(
        "The marts and dimensions as readers see them in the database: all stale slices are switched in one transaction, after rows "
        "and sums were verified. Then the batch's files are done, and archived."
    ),
    freshness_policy=NEW_SALES_EVERY_DAY,
    metadata={"grain": "one slice (a month of a mart, a whole dimension) made visible", "code": code_at("publish/publisher.py")},
)
def mart_publication(context: AssetExecutionContext, platform: PlatformResource) -> MaterializeResult[None]:
    """Publish what is stale."""
    from salesmart_assets.batch import publication

    return run_step(context, platform, publication.publish)


mart_assets = [*(mart_asset(n) for n in MARTS), mart_publication]
