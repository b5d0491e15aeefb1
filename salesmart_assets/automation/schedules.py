"""The schedules: reports that are there in the morning, whether files came or not, and upkeep in the night.

A run that loads makes the reports of what it loads; a scheduled run makes them once more, of the day or month that has just
ended, from the tables as they are. Where nothing changed in between, the files stay as they were, so neither doubles the other.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dagster import DefaultScheduleStatus, RunRequest, ScheduleDefinition, ScheduleEvaluationContext, SkipReason

from salesmart_assets.assets.step import SETTINGS
from salesmart_assets.automation.jobs import maintain, make_daily_report, make_monthly_report
from salesmart_assets.settings import GraphSettings, Settings, hour_and_minute


def report_schedules(settings: GraphSettings | Settings) -> list[ScheduleDefinition]:
    """The schedules at the hour and in the time zone of the settings."""
    told = f"at {settings.report_time} in the time zone {settings.report_timezone}"

    def daily(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        return _report_of(_today(context, settings) - timedelta(days=1), settings)

    def monthly(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        # A month's report belongs to each of its days; the last one stands for the whole month.
        return _report_of(_today(context, settings).replace(day=1) - timedelta(days=1), settings)

    return [
        ScheduleDefinition(
            name="daily_report_each_morning",
            job=make_daily_report,
            execution_fn=daily,
            description=f"Each morning {told}, the daily report of the day before.",
            **_at(settings.report_time, settings),
        ),
        ScheduleDefinition(
            name="monthly_report_on_the_first",
            job=make_monthly_report,
            execution_fn=monthly,
            description=f"On the first of each month {told}, the monthly report and workbook of the month before.",
            **_at(settings.report_time, settings, day="1"),
        ),
    ]


def upkeep_schedule(settings: GraphSettings | Settings) -> ScheduleDefinition:
    """The schedule of upkeep, at the hour of the settings."""
    return ScheduleDefinition(
        name="upkeep_each_night",
        job=maintain,
        description=f"Each day at {settings.upkeep_time} in the time zone {settings.report_timezone}, what `salesmart maintain` does.",
        **_at(settings.upkeep_time, settings),
    )


def _at(time: str, settings: GraphSettings | Settings, day: str = "*") -> dict[str, Any]:
    """When a schedule ticks: at a time of day, on a day of the month or each day; it is on from the start."""
    hour, minute = hour_and_minute(time)
    return {
        "cron_schedule": f"{minute} {hour} {day} * *",
        "execution_timezone": settings.report_timezone,
        "default_status": DefaultScheduleStatus.RUNNING,
    }


def _today(context: ScheduleEvaluationContext, settings: GraphSettings | Settings) -> date:
    """The calendar day on which the tick was due where the report is read: it may come later, after a pause of the daemon."""
    return context.scheduled_execution_time.astimezone(ZoneInfo(settings.report_timezone)).date()


def _report_of(day: date, settings: GraphSettings | Settings) -> RunRequest | SkipReason:
    if day < settings.first_batch_date:
        return SkipReason(f"{day} is before the first batch date, {settings.first_batch_date}: there is nothing to report.")
    return RunRequest(partition_key=day.isoformat())


SCHEDULES = [*report_schedules(SETTINGS), upkeep_schedule(SETTINGS)]
