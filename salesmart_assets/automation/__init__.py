"""What starts runs: the jobs, the sensor that asks for batches, and the schedules of the reports."""

from salesmart_assets.automation.jobs import load_batch, make_daily_report, make_monthly_report, publish_marts, rebuild_month
from salesmart_assets.automation.schedules import REPORT_SCHEDULES
from salesmart_assets.automation.sensors import landing_sensor

__all__ = ["REPORT_SCHEDULES", "landing_sensor", "load_batch", "make_daily_report", "make_monthly_report", "publish_marts", "rebuild_month"]
