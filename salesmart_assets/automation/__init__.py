"""What starts runs: the jobs, the sensor that asks for batches, the schedules of reports and upkeep; and who tells of their ends."""

from salesmart_assets.automation.alerts import alert_sensor
from salesmart_assets.automation.jobs import load_batch, maintain, make_daily_report, make_monthly_report, publish_marts, rebuild_month
from salesmart_assets.automation.schedules import SCHEDULES
from salesmart_assets.automation.sensors import landing_sensor

JOBS = (load_batch, publish_marts, rebuild_month, make_daily_report, make_monthly_report, maintain)
SENSORS = (landing_sensor, alert_sensor)

__all__ = ["JOBS", "SCHEDULES", "SENSORS"]
