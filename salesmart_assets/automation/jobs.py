"""Jobs, named after what they do."""

from dagster import AssetSelection, Failure, OpExecutionContext, define_asset_job, in_process_executor, job, op

from salesmart_assets.resources import PlatformResource

load_batch = define_asset_job(
    "load_batch",
    selection=AssetSelection.all(),
    description=(
        "Load one batch: from the files of a batch date to published marts and reports. Started by a person, it reads the batch's "
        "files again and rebuilds what they touch; started by the sensor, it takes what is pending."
    ),
    # Started again after a crash, it goes through every step: what is done is known to the ledger, not to Dagster.
    tags={"dagster/retry_strategy": "ALL_STEPS"},
    # One process: steps share the engine's session, and a JVM or Sail is started once, not once per step.
    executor_def=in_process_executor,
)

rebuild_month = define_asset_job(
    "rebuild_month",
    selection=AssetSelection.all(),
    description=(
        "Rebuild a month: choose its batch dates, and one run reads their files again and computes each slice that they touch once. "
        "Equal tables are left where the files are as they were; a file that is gone stops it, and the tables stay."
    ),
    executor_def=in_process_executor,
)

publish_marts = define_asset_job(
    "publish_marts",
    selection=AssetSelection.assets("mart_publication"),
    description=(
        "Publish what is stale in the database, or missing from it: after the database was away, was restored, or is a new one. "
        "Nothing is read from files or computed anew. Any batch date will do: all that is stale is published."
    ),
    executor_def=in_process_executor,
)

make_daily_report = define_asset_job(
    "make_daily_report",
    selection=AssetSelection.assets("daily_report"),
    description="Make the daily report of a batch date anew from the tables as they are. Nothing is loaded.",
    executor_def=in_process_executor,
)

make_monthly_report = define_asset_job(
    "make_monthly_report",
    selection=AssetSelection.assets("monthly_report"),
    description="Make the page and the workbook of a batch date's month anew from the tables as they are. Nothing is loaded.",
    executor_def=in_process_executor,
)


@op(
    description="Each task of `salesmart maintain`, in turn; one that can't be done keeps none of the others, and fails the run at the end."
)
def do_upkeep(context: OpExecutionContext, platform: PlatformResource) -> None:
    """Do upkeep, and tell what was done."""
    from salesmart_assets.batch import upkeep

    failed = []
    with platform.open() as opened:
        for task in upkeep.maintain(opened, context.run.run_id):
            failed += [] if task.ok else [f"{task.name}: {task.says}"]
    if failed:
        raise Failure(" ".join(failed), allow_retries=False)


@job(
    description=(
        "Upkeep: small files become few, logs are summed up, and what no version within the retention shows is removed. No table changes."
    ),
    executor_def=in_process_executor,
)
def maintain() -> None:
    """The tasks of upkeep."""
    do_upkeep()
