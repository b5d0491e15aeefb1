"""Staging: contract-clean rows of each source, and every row that was not clean."""

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition, MaterializeResult, MetadataValue, asset

from salesmart_assets.assets.step import OWNER, PARTITIONS, TABLES, described, run_step, table_metadata
from salesmart_assets.contracts import SOURCES
from salesmart_assets.contracts.tables import REJECTED_ROWS, raw_name, staging_name
from salesmart_assets.resources import PlatformResource


def staging_asset(source: str) -> AssetsDefinition:
    """The clean rows of one source."""
    name = staging_name(source)

    @asset(
        name=name,
        deps=[raw_name(source)],
        group_name="staging",
        partitions_def=PARTITIONS,
        kinds={"delta", "parquet"},
        owners=[OWNER],
        tags={"source": source},
        description=described(
            f"Rows of the `{source}` files that keep their contract, typed, each with the file and row it came from. "
            "A bad row never costs a good one: it is in `rejected_rows`, with its reasons.",
            TABLES[name],
        ),
        metadata={**table_metadata(TABLES[name], "ingest/kernel.py"), "quarantine": MetadataValue.asset(AssetKey(REJECTED_ROWS.name))},
    )
    def staged(context: AssetExecutionContext, platform: PlatformResource) -> MaterializeResult[None]:
        from salesmart_assets.batch import staging

        return run_step(context, platform, lambda opened, run: staging.stage(opened, source, run), by_date=True)

    return staged


@asset(
    name=REJECTED_ROWS.name,
    deps=[staging_name(source) for source in SOURCES],
    group_name="staging",
    partitions_def=PARTITIONS,
    kinds={"delta", "parquet"},
    owners=[OWNER],
    description=described(
        "Every row that broke its contract, kept with its raw text, its file and row number, and all the rules it broke. "
        "Nothing is dropped: `salesmart rejects` lists them.",
        REJECTED_ROWS,
    ),
    metadata=table_metadata(REJECTED_ROWS, "ingest/judge.py"),
)
def rejected_rows(context: AssetExecutionContext, platform: PlatformResource) -> MaterializeResult[None]:
    """Commit the rejections of the batch's files."""
    from salesmart_assets.batch import staging

    return run_step(context, platform, staging.keep_rejections, by_date=True)


staging_assets = [*(staging_asset(source) for source in SOURCES), rejected_rows]
