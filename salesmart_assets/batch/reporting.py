"""Reports: one page for the batch's day; for each month whose marts changed, one page and a workbook."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone

import polars as pl

from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Report, Run
from salesmart_assets.batch.warehouse import month_of
from salesmart_assets.errors import UsageError
from salesmart_assets.ledger import File
from salesmart_assets.reports import daily, monthly, page
from salesmart_assets.reports.workbook import monthly_workbook

_DAY = "daily_report"
_MONTH = "monthly_report"
_NAMED = 5
_MADE = re.compile(r"made \d{4}-\d\d-\d\d \d\d:\d\d UTC")


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a report is: the addresses of its page and, for a month, its workbook; the preview of the page, and how
    many bytes there are of both.
    """

    page: str
    preview: str
    bytes: int
    workbook: str = ""


def write_daily(platform: Platform, run: Run) -> Report:
    """Write the pages of the run's batch dates, and of every other day whose page is stale."""
    todo = platform.ledger.pending(_DAY)
    days = sorted({item.slice for item in todo} | run.dates)
    stored = [store_daily(platform, date.fromisoformat(day)) for day in days]
    platform.ledger.clear(todo)
    size = sum(item.bytes for item in stored)
    return Report(bytes=size, slices=tuple(days), facts={"pages": [item.page for item in stored], "preview": stored[-1].preview})


def write_monthly(platform: Platform, run: Run) -> Report:
    """Write the page and the workbook of every month whose marts changed."""
    todo = platform.ledger.pending(_MONTH)
    months = sorted({item.slice for item in todo} | ({month_of(day) for day in run.dates} if run.rebuild else set()))
    stored = [store_monthly(platform, date.fromisoformat(month)) for month in months]
    platform.ledger.clear(todo)
    return Report(
        bytes=sum(item.bytes for item in stored),
        slices=tuple(months),
        facts={
            "pages": [item.page for item in stored],
            "workbooks": [item.workbook for item in stored],
            "preview": stored[-1].preview if stored else "",
        },
    )


def store_daily(platform: Platform, day: date) -> Stored:
    """Make the page of a batch date from the tables as they are, and put it where reports live."""
    # Under the writer's lease no table moves between two looks, and of two pages of a day the one with later figures stays.
    with platform.ledger.writer.hold(waiting=platform.say):
        made = make_daily(platform, day)
        return Stored(_store_page(platform, f"reports/daily/{day}.html", made), made.preview, len(made.html.encode()))


def store_monthly(platform: Platform, month: date) -> Stored:
    """Make the page and the workbook of a month, by its first day, and put them where reports live."""
    name = f"{month:%Y-%m}"
    with platform.ledger.writer.hold(waiting=platform.say):
        made, book = make_monthly(platform, month, f"{name}.xlsx")
        # The workbook first: the page's link never leads nowhere.
        workbook = platform.lake.write_file(f"reports/monthly/{name}.xlsx", book)
        address = _store_page(platform, f"reports/monthly/{name}.html", made)
        return Stored(address, made.preview, len(made.html.encode()) + len(book), workbook)


def refuse_empty_day(platform: Platform, day: date) -> None:
    """Raise `UsageError` for a batch date without sales; it names the batches that brought sales of that day, if any did."""
    staged = {(file.value("sales_date"), file.value("batch_date")) for file in platform.lake.snapshot("stg_sales").files if file.rows}
    batches = sorted({batch for _, batch in staged if batch})
    if day.isoformat() in batches:
        return
    brought = sorted({batch for sold, batch in staged if sold == day.isoformat() and batch})
    if brought:
        raise UsageError(f"No sales came on {day}. Those of that day came with the batch of {_some(brought)}: ask for its report.")
    raise UsageError(f"No sales came on {day}. {_known('Batches with sales', batches)}")


def refuse_empty_month(platform: Platform, month: date) -> None:
    """Raise `UsageError` for a month, by its first day, without sales."""
    snapshot = platform.lake.snapshot("sales_team_mart")
    months = sorted({name[:7] for file in snapshot.files if file.rows and (name := file.value("sales_month"))})
    if f"{month:%Y-%m}" not in months:
        raise UsageError(f"There are no sales in {month:%Y-%m}. {_known('Months with sales', months)}")


def _known(what: str, names: Sequence[str]) -> str:
    return f"{what}: {_some(names)}." if names else "Nothing is loaded yet: `salesmart run` loads what is pending."


def _some(names: Sequence[str]) -> str:
    """The latest few of many names."""
    latest = ", ".join(names[-_NAMED:])
    return f"{latest}, and {len(names) - _NAMED} earlier" if len(names) > _NAMED else latest


def make_daily(platform: Platform, day: date) -> page.Report:
    """The page of a batch date, from the tables as they are."""
    with platform.ledger.writer.hold(waiting=platform.say):
        return daily.daily_report(
            _frames(platform),
            [_line(f) for f in platform.ledger.files(batch_date=day)],
            day,
            contracts=platform.contracts,
            expiry_days=platform.settings.expiry_days,
            currency=platform.settings.currency,
            made_at=datetime.now(timezone.utc),
        )


def make_monthly(platform: Platform, month: date, workbook: str) -> tuple[page.Report, bytes]:
    """The page of a month, by its first day, from the tables as they are; and the workbook that it links to by that name."""
    currency = platform.settings.currency
    with platform.ledger.writer.hold(waiting=platform.say):
        files = [_line(f) for f in platform.ledger.files() if f.batch_date is not None and f.batch_date.replace(day=1) == month]
        made = monthly.monthly_report(
            _frames(platform),
            files,
            month,
            contracts=platform.contracts,
            currency=currency,
            made_at=datetime.now(timezone.utc),
            workbook=workbook,
        )
        return made, monthly_workbook(_frames(platform), month, currency=currency)


def _store_page(platform: Platform, path: str, made: page.Report) -> str:
    """Write a page, unless the one that is there says the same: then that stays, with the time at which it was made."""
    before = platform.lake.read_file(path)
    if before is not None and _undated(before.decode("utf-8", "replace")) == _undated(made.html):
        return f"{platform.lake.root}/{path}"
    return platform.lake.write_file(path, made.html.encode())


def _undated(html: str) -> str:
    return _MADE.sub("", html, count=1)


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
