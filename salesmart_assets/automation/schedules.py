"""The schedules: reports that are there in the morning, whether files came or not, and upkeep in the night.

A run that loads makes the reports of what it loads; a scheduled run makes them once more, of the day or month that has just
ended, from the tables as they are. Where nothing changed in between, the files stay as they were, so neither doubles the other.
"""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from dagster import DefaultScheduleStatus, RunRequest, ScheduleDefinition, ScheduleEvaluationContext, SkipReason, schedule

from salesmart_assets.assets.step import SETTINGS
from salesmart_assets.automation.jobs import maintain, make_daily_report, make_monthly_report
from salesmart_assets.settings import Settings


def report_schedules(settings: Settings) -> list[ScheduleDefinition]:
    """The schedules at the hour and in the time zone of the settings."""
    hour, minute = (int(part) for part in settings.report_time.split(":"))
    zone = settings.report_timezone
    told = f"at {settings.report_time} in the time zone {zone}"

    @schedule(
        job=make_daily_report,
        cron_schedule=f"{minute} {hour} * * *",
        execution_timezone=zone,
        default_status=DefaultScheduleStatus.RUNNING,
        description=f"Each morning {told}, the daily report of the day before.",
    )
    def daily_report_each_morning(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        return _report_of(_today(context, zone) - timedelta(days=1), settings)

    @schedule(
        job=make_monthly_report,
        cron_schedule=f"{minute} {hour} 1 * *",
        execution_timezone=zone,
        default_status=DefaultScheduleStatus.RUNNING,
        description=f"On the first of each month {told}, the monthly report and workbook of the month before.",
    )
    def monthly_report_on_the_first(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        # A month's report belongs to each of its days; the last one stands for the whole month.
        return _report_of(_today(context, zone).replace(day=1) - timedelta(days=1), settings)

    return [daily_report_each_morning, monthly_report_on_the_first]


def _today(context: ScheduleEvaluationContext, zone: str) -> date:
    """The calendar day on which the tick was due where the report is read: it may come later, after a pause of the daemon."""
    return context.scheduled_execution_time.astimezone(ZoneInfo(zone)).date()


def _report_of(day: date, settings: Settings) -> RunRequest | SkipReason:
    if day < settings.first_batch_date:
        return SkipReason(f"{day} is before the first batch date, {settings.first_batch_date}: there is nothing to report.")
    return RunRequest(partition_key=day.isoformat())


def upkeep_schedule(settings: Settings) -> ScheduleDefinition:
    """The schedule of upkeep, at the hour of the settings."""
    hour, minute = (int(part) for part in settings.upkeep_time.split(":"))
    return ScheduleDefinition(
        name="upkeep_each_night",
        job=maintain,
        cron_schedule=f"{minute} {hour} * * *",
        execution_timezone=settings.report_timezone,
        default_status=DefaultScheduleStatus.RUNNING,
        description=f"Each day at {settings.upkeep_time} in the time zone {settings.report_timezone}, what `salesmart maintain` does.",
    )


SCHEDULES = [*report_schedules(SETTINGS), upkeep_schedule(SETTINGS)]
