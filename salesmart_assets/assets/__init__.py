"""The asset graph: what each table is. How it is made stands in `batch` and `transforms`."""

from dagster import BackfillPolicy

from salesmart_assets.assets.landing import landing_assets
from salesmart_assets.assets.marts import mart_assets
from salesmart_assets.assets.reports import report_assets
from salesmart_assets.assets.staging import staging_assets
from salesmart_assets.assets.warehouse import warehouse_assets

A_MONTH_AT_ONCE = BackfillPolicy.multi_run(max_partitions_per_run=31)
"""Dates that follow each other are rebuilt together, up to a month: its slices are then computed once, not once for each date."""

ALL_ASSETS = [
    definition.with_attributes(backfill_policy=A_MONTH_AT_ONCE)
    for definition in (*landing_assets, *staging_assets, *warehouse_assets, *mart_assets, *report_assets)
]

__all__ = ["ALL_ASSETS"]
