"""How old marts and reports may be before the UI calls them stale.

A policy looks at when an asset was last made, whatever its date: a rebuilt old day makes it fresh as well.
"""

from datetime import timedelta

from dagster import FreshnessPolicy

from salesmart_assets.assets.step import SETTINGS
from salesmart_assets.settings import hour_and_minute

_HOUR, _MINUTE = hour_and_minute(SETTINGS.report_time)
_AN_HOUR_LATER = f"{_MINUTE} {(_HOUR + 1) % 24}"

NEW_SALES_EVERY_DAY = FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(days=3))
"""Stores sell every day: a day without new sales is worth a look, and after three (a weekend and a day) something is broken."""

EACH_MORNING = FreshnessPolicy.cron(
    deadline_cron=f"{_AN_HOUR_LATER} * * *", lower_bound_delta=timedelta(hours=23), timezone=SETTINGS.report_timezone
)
"""The schedule makes it at the hour of the settings; an hour later it is late."""

ON_THE_FIRST = FreshnessPolicy.cron(
    deadline_cron=f"{_AN_HOUR_LATER} {'2' if _HOUR == 23 else '1'} * *",
    lower_bound_delta=timedelta(hours=23),
    timezone=SETTINGS.report_timezone,
)
