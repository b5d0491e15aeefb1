"""Reports: one page for the batch's day, one for each month whose marts changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timezone

import polars as pl

from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Report, Run
from salesmart_assets.ledger import File
from salesmart_assets.reports import daily, monthly

_DAY = "daily_report"
_MONTH = "monthly_report"


def write_daily(platform: Platform, run: Run) -> Report:
    """Write the page of the run's batch date, and of every other day whose page is stale."""
    todo = platform.ledger.pending(_DAY)
    days = sorted({item.slice for item in todo} | {run.batch_date.isoformat()})
    written, preview = [], ""
    for day in days:
        page = daily.daily_report(
            _frames(platform),
            [_line(f) for f in platform.ledger.files(batch_date=date.fromisoformat(day))],
            date.fromisoformat(day),
            expiry_days=platform.settings.expiry_days,
            currency=platform.settings.currency,
            made_at=datetime.now(timezone.utc),
        )
        written.append(platform.lake.write_text(f"reports/daily/{day}.html", page.html))
        preview = page.preview
    platform.ledger.clear(todo)
    return Report(slices=tuple(days), facts={"pages": written, "preview": preview})


def write_monthly(platform: Platform, run: Run) -> Report:
    """Write the page of every month whose marts changed."""
    todo = platform.ledger.pending(_MONTH)
    months = sorted({item.slice for item in todo} | ({run.batch_date.replace(day=1).isoformat()} if run.rebuild else set()))
    written, preview = [], ""
    for month in months:
        first = date.fromisoformat(month)
        files = [f for f in platform.ledger.files() if f.batch_date is not None and f.batch_date.replace(day=1) == first]
        page = monthly.monthly_report(
            _frames(platform), [_line(f) for f in files], first, currency=platform.settings.currency, made_at=datetime.now(timezone.utc)
        )
        written.append(platform.lake.write_text(f"reports/monthly/{month[:7]}.html", page.html))
        preview = page.preview
    platform.ledger.clear(todo)
    return Report(slices=tuple(months), facts={"pages": written, "preview": preview})


def _frames(platform: Platform) -> Callable[[str], pl.LazyFrame]:
    return lambda name: platform.lake.snapshot(name).scan()


def _line(file: File) -> daily.FileLine:
    return daily.FileLine(
        batch_date=file.batch_date,
        source=file.source,
        key=file.key,
        status=file.status,
        outcome=file.outcome,
        rows_read=file.rows_read,
        rows_accepted=file.rows_accepted,
        rows_rejected=file.rows_rejected,
        rows_duplicate=file.rows_duplicate,
        reason=file.reason,
    )
