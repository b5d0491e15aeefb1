"""The asset graph: what each table is. How it is made stands in `batch` and `transforms`."""

from salesmart_assets.assets.landing import landing_assets
from salesmart_assets.assets.marts import mart_assets
from salesmart_assets.assets.reports import report_assets
from salesmart_assets.assets.staging import staging_assets
from salesmart_assets.assets.warehouse import warehouse_assets

ALL_ASSETS = [*landing_assets, *staging_assets, *warehouse_assets, *mart_assets, *report_assets]

__all__ = ["ALL_ASSETS"]
