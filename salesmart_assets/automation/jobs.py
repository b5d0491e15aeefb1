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
    # One process: steps share the engine's session, and a JVM or Sail is started once, not once per step.
    executor_def=in_process_executor,
)
