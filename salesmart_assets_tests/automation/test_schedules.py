"""Reports are made each morning, and on the first, at the hour of the readers."""

from __future__ import annotations

import warnings
from datetime import date, datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from dagster import DefaultScheduleStatus, ScheduleDefinition, build_schedule_context
from dagster._utils.schedules import schedule_execution_time_iterator

from salesmart_assets.automation.schedules import report_schedules, upkeep_schedule
from salesmart_assets.definitions import defs
from salesmart_assets.errors import UsageError
from salesmart_assets.settings import Settings
from salesmart_assets_tests.automation.conftest import Watch


def daily(zone: str = "UTC", at: str = "07:00") -> ScheduleDefinition:
    return report_schedules(Settings(report_timezone=zone, report_time=at))[0]


def monthly(zone: str = "UTC", at: str = "07:00") -> ScheduleDefinition:
    return report_schedules(Settings(report_timezone=zone, report_time=at))[1]


def ticks(scheduled: ScheduleDefinition, after: datetime, count: int) -> list[datetime]:
    """The next ticks, as Dagster's daemon computes them, in UTC."""
    found = schedule_execution_time_iterator(after.timestamp(), scheduled.cron_schedule, scheduled.execution_timezone)
    return [moment.astimezone(timezone.utc) for moment in islice(found, count)]


def asked(scheduled: ScheduleDefinition, moment: datetime) -> str:
    """The partition that a tick at that time asks for; or why it asks for none."""
    context = build_schedule_context(scheduled_execution_time=moment, repository_def=defs.get_repository_def())
    found = scheduled.evaluate_tick(context)
    if not found.run_requests:
        return found.skip_message or ""
    (request,) = found.run_requests
    assert request.tags["dagster/partition"] == request.partition_key
    return str(request.partition_key)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def test_the_day_before_each_morning() -> None:
    """Each morning the daily report of the day before is made, at the hour and in the time zone of the settings."""
    scheduled = daily("Asia/Kolkata", "06:30")
    first, second = ticks(scheduled, utc("2026-11-23T02:00"), 2)
    assert (first, second) == (utc("2026-11-24T01:00"), utc("2026-11-25T01:00"))
    assert asked(scheduled, first) == "2026-11-23"
    assert asked(daily(), utc("2026-03-01T07:00")) == "2026-02-28"


@pytest.mark.parametrize(("zone", "moment"), [("Pacific/Kiritimati", "2026-11-23T17:00"), ("Pacific/Honolulu", "2026-11-24T17:00")])
def test_the_day_before_where_the_report_is_read(zone: str, moment: str) -> None:
    """The day before is that of the readers: far in the east it is still today in UTC, and may be asked for."""
    assert ticks(daily(zone), utc(moment) - timedelta(hours=1), 1) == [utc(moment)]
    assert asked(daily(zone), utc(moment)) == "2026-11-23"


def test_the_month_before_on_the_first() -> None:
    """On the first the monthly report of the month before is made, also where it is still the last day in UTC."""
    assert ticks(monthly(), utc("2026-11-02T00:00"), 2) == [utc("2026-12-01T07:00"), utc("2027-01-01T07:00")]
    assert asked(monthly(), utc("2027-01-01T07:00")) == "2026-12-31"
    (moment,) = ticks(monthly("Asia/Tokyo"), utc("2026-11-02T00:00"), 1)
    assert moment == utc("2026-11-30T22:00")
    assert asked(monthly("Asia/Tokyo"), moment) == "2026-11-30"
    assert asked(monthly("America/New_York"), utc("2026-12-01T12:00")) == "2026-11-30"


@pytest.mark.parametrize(
    ("at", "before", "hours"),
    [
        ("07:00", "2026-03-28T00:00", ["2026-03-28T06:00", "2026-03-29T05:00", "2026-03-30T05:00"]),
        ("07:00", "2026-10-24T00:00", ["2026-10-24T05:00", "2026-10-25T06:00", "2026-10-26T06:00"]),
        # The hour that is left out, and the one that comes twice.
        ("02:30", "2026-03-28T00:00", ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]),
        ("02:30", "2026-10-24T00:00", ["2026-10-24T00:30", "2026-10-25T01:30", "2026-10-26T01:30"]),
    ],
)
def test_changes_of_the_clocks(at: str, before: str, hours: list[str]) -> None:
    """Through changes of the clocks each day has its report, once, at the hour of the wall clock."""
    scheduled = daily("Europe/Berlin", at)
    found = ticks(scheduled, utc(before), 3)
    assert found == [utc(hour) for hour in hours]
    first = found[0].astimezone(ZoneInfo("Europe/Berlin")).date()
    assert [asked(scheduled, moment) for moment in found] == [str(first + timedelta(days=n - 1)) for n in range(3)]


def test_schedules_are_on() -> None:
    """The schedules are on without anybody switching them on."""
    assert [s.default_status for s in report_schedules(Settings())] == [DefaultScheduleStatus.RUNNING] * 2


def test_before_the_first_batch_date() -> None:
    """A day before the first batch date has no report, and the tick says so."""
    scheduled = report_schedules(Settings(first_batch_date=date(2026, 11, 24)))
    assert "before the first batch date" in asked(scheduled[0], utc("2026-11-24T07:00"))
    assert asked(scheduled[0], utc("2026-11-25T07:00")) == "2026-11-24"


@pytest.mark.parametrize("zone", ["Mars/Base", "", "Europe", "../UTC", "UTC+1", "europe berlin"])
def test_a_zone_that_is_none(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """A time zone that is none is refused in a sentence that names the setting and shows what a zone looks like."""
    monkeypatch.setenv("SALESMART_REPORT_TIMEZONE", zone)
    with pytest.raises(UsageError, match=r"^SALESMART_REPORT_TIMEZONE cannot be used: '.*' is no time zone, .* Europe/Berlin"):
        Settings.load()


@pytest.mark.parametrize("at", ["7", "24:00", "07:60", "7:00", "07:00:00", ""])
def test_an_hour_that_is_none(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """A time of day that is none is refused in a sentence that names the setting and shows what one looks like."""
    monkeypatch.setenv("SALESMART_REPORT_TIME", at)
    with pytest.raises(UsageError, match=r"^SALESMART_REPORT_TIME cannot be used: .*HH:MM"):
        Settings.load()


@pytest.mark.parametrize(
    ("job", "made"), [("make_daily_report", ["2025-11-30.html"]), ("make_monthly_report", ["2025-11.html", "2025-11.xlsx"])]
)
def test_a_scheduled_run_makes_its_report_and_nothing_else(watch: Watch, job: str, made: list[str]) -> None:
    """A scheduled run makes the report of its partition; what waits in the landing zone stays there."""
    watch.land("2025-11-30")
    with warnings.catch_warnings():
        # Dagster calls what Dagster deprecates.
        warnings.filterwarnings("ignore", message="InitResourceContext.dagster_run is deprecated")
        done = defs.resolve_job_def(job).execute_in_process(instance=watch.instance, partition_key="2025-11-30")
    assert done.success
    assert sorted(path.name for path in Path(watch.platform.settings.reports_uri).rglob("*.*")) == made
    assert watch.platform.ledger.files() == []
    assert list(watch.tick()) == ["2025-11-30"]


def test_upkeep_each_night(watch: Watch) -> None:
    """Each night, at the hour of the settings in the time zone of the reports, upkeep runs as a job of its own."""
    scheduled = upkeep_schedule(Settings(report_timezone="Europe/Berlin", upkeep_time="02:15"))
    assert scheduled.default_status is DefaultScheduleStatus.RUNNING
    assert ticks(scheduled, utc("2026-11-23T12:00"), 1) == [utc("2026-11-24T01:15")]
    job = defs.resolve_job_def(scheduled.job.name)
    with warnings.catch_warnings():
        # Dagster calls what Dagster deprecates.
        warnings.filterwarnings("ignore", message="InitResourceContext.dagster_run is deprecated")
        assert job.execute_in_process(instance=watch.instance).success
    with pytest.raises(UsageError, match="SALESMART_UPKEEP_TIME cannot be used"):
        Settings.load(upkeep_time="3 o'clock")
