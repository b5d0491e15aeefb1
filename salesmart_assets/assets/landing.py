"""Landing: the S3 objects of a batch, entered in the ledger."""

from typing import TYPE_CHECKING, Any

from dagster import AssetExecutionContext, AssetsDefinition, MaterializeResult, MetadataValue, asset

from salesmart_assets.assets.step import CONTRACTS, OWNER, PARTITIONS, SETTINGS, code_at, column_schema, run_step
from salesmart_assets.batch.run import Report, Run
from salesmart_assets.contracts import SOURCES
from salesmart_assets.contracts.tables import raw_name
from salesmart_assets.resources import PlatformResource

if TYPE_CHECKING:
    from salesmart_assets.batch.platform import Platform


def raw_asset(source: str) -> AssetsDefinition:
    """The objects of one source that belong to a batch date."""

    def register(platform: "Platform", run: Run) -> Report:
        from salesmart_assets.batch import landing

        files = landing.register(platform, source, run)
        return Report(bytes=sum(f.size for f in files), facts={"files": len(files), "keys": [f.key for f in files]})

    @asset(
        name=raw_name(source),
        group_name="landing",
        partitions_def=PARTITIONS,
        kinds={"s3"},
        owners=[OWNER],
        tags={"source": source},
        description=(
            f"Objects of the source `{source}` that landed for the batch date: one row of the ledger for each, with bucket, key, "
            "size and identity. An object that was overwritten is a new identity, which supersedes the old one."
        ),
        # The columns of the files, so that those made of them lead somewhere.
        metadata={
            "grain": "one S3 object",
            "dagster/column_schema": column_schema(CONTRACTS[source].table_columns()),
            "dagster/uri": f"{SETTINGS.landing}/{source}",
            "code": code_at("batch/landing.py"),
            "contract": _contract_at(source),
        },
    )
    def raw(context: AssetExecutionContext, platform: PlatformResource) -> MaterializeResult[None]:
        return run_step(context, platform, register, by_date=True)

    return raw


def _contract_at(source: str) -> MetadataValue[Any]:
    """Where the contract that holds is written: the user's own, where there is one, else the packaged one."""
    own = SETTINGS.contracts / f"{source}.yaml" if SETTINGS.contracts else None
    return MetadataValue.path(str(own)) if own and own.exists() else code_at(f"contracts/{source}.yaml")


landing_assets = [raw_asset(source) for source in SOURCES]
