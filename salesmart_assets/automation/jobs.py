"""Jobs, named after what they do."""

from __future__ import annotations

from dagster import AssetSelection, define_asset_job, in_process_executor

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
