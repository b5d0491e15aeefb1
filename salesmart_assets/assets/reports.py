"""The reports: pages for people, made from the lake."""

from dagster import AssetExecutionContext, MaterializeResult, asset

from salesmart_assets.assets.freshness import EACH_MORNING, ON_THE_FIRST
from salesmart_assets.assets.step import OWNER, PARTITIONS, code_at, run_step
from salesmart_assets.resources import PlatformResource


@asset(
    deps=["mart_publication"],
    group_name="reports",
    partitions_def=PARTITIONS,
    kinds={"html"},
    owners=[OWNER],
    description=(
        "The day on one page: sales, stores that were silent, leaders and incentives, customers, price changes, expiring stock, and what "
        "was wrong with the data."
    ),
    freshness_policy=EACH_MORNING,
    metadata={"grain": "one page per batch date", "code": code_at("reports/daily.py")},
)
def daily_report(context: AssetExecutionContext, platform: PlatformResource) -> MaterializeResult[None]:
    """Write the day's page."""
    from salesmart_assets.batch import reporting

    return run_step(context, platform, reporting.write_daily)


@asset(
    deps=["mart_publication"],
    group_name="reports",
    partitions_def=PARTITIONS,
    kinds={"html", "excel"},
    owners=[OWNER],
    description=(
        "The month on one page, for each month whose marts changed: stores, sellers and their incentives, customers and their "
        "coupons, teams, price changes; and beside it an Excel workbook, to be filtered and sorted."
    ),
    freshness_policy=ON_THE_FIRST,
    metadata={"grain": "one page and one workbook per month", "code": code_at("reports/monthly.py")},
)
def monthly_report(context: AssetExecutionContext, platform: PlatformResource) -> MaterializeResult[None]:
    """Write the pages and workbooks of the months that changed."""
    from salesmart_assets.batch import reporting

    return run_step(context, platform, reporting.write_monthly)


report_assets = [daily_report, monthly_report]
