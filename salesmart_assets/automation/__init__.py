"""What starts runs: the job of a batch with the sensor that asks for it, and those of the reports with their schedules."""

from salesmart_assets.automation.jobs import load_batch, make_daily_report, make_monthly_report
from salesmart_assets.automation.schedules import REPORT_SCHEDULES
from salesmart_assets.automation.sensors import landing_sensor

__all__ = ["REPORT_SCHEDULES", "landing_sensor", "load_batch", "make_daily_report", "make_monthly_report"]
