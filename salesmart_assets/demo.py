"""The demo: three days of data with known faults, from files to marts; the next three days when run again."""

from __future__ import annotations

from datetime import date, timedelta

from salesmart_assets import terminal
from salesmart_assets.batch.platform import Platform
from salesmart_assets.contracts.tables import MARTS
from salesmart_assets.generate.demo import generate_demo
from salesmart_assets.generate.sinks import S3Sink
from salesmart_assets.publish.database import describe
from salesmart_assets.publish.read import read_table
from salesmart_assets.reports.page import masked
from salesmart_assets.runs import load, print_summary

_DAYS = 3
_BEGINS_BEFORE = timedelta(days=60)
_PREVIEW_ROWS = 3


def run_demo(platform: Platform) -> int:
    """Generate, land and load the next days; returns the exit code: 0 unless a batch failed."""
    first = next_day(platform)
    last = first + timedelta(days=_DAYS - 1)
    if last > platform.today():
        terminal.err.print("All demo days up to today are loaded. Start over with another home: SALESMART_HOME=other make demo")
        return 0
    again = "Again: the next days, " if first > platform.today() - _BEGINS_BEFORE else ""
    terminal.out.print(f"[bold]salesmart demo[/bold]  {again}{first} to {last}: sales, customers, stores, products and sellers.\n")
    settings = platform.settings
    sink = S3Sink(platform.zone.client, settings.landing_bucket, settings.landing_prefix.strip("/"))
    with terminal.progress() as bar:
        task = bar.add_task("landing files", total=_DAYS)
        files = []
        for file in generate_demo(first, _DAYS, sink, platform.contracts):
            files.append(file)
            bar.update(task, completed=(file.batch_date - first).days)
    size = terminal.size(sum(f.bytes for f in files))
    terminal.out.print(f"Landed {len(files)} files, {size}, in {settings.landing}, with faults on purpose:")
    spoilt = sum(_spoilt(fault) for file in files for fault in file.faults)
    terminal.out.print(f"  {'every day':<12}{spoilt} bad rows or unknown members, in CSV, JSON lines and Parquet")
    for file in files:
        for fault in file.faults:
            if not _spoilt(fault):
                terminal.out.print(f"  {file.batch_date}  {file.name}: {fault}")
    terminal.out.print()
    done = load(platform, [])
    terminal.out.print()
    print_summary(platform, done)
    if any(item.reason for item in done):
        terminal.out.print("\nThe marts are as they were. Mend the cause, then run: salesmart run")
        return 1
    for name in MARTS:
        rows = read_table(platform.marts, platform.tables[name], limit=_PREVIEW_ROWS)
        # Of personal data only names are shown, by their initials.
        columns = [c for c in platform.tables[name].columns if not c.pii or c.name.endswith("_name")][:10]
        people = {c.name for c in columns if c.pii}
        shown = [{c: masked(value) if c in people else value for c, value in row.items()} for row in rows.to_pylist()]
        terminal.out.print()
        terminal.print_table(shown, [c.name for c in columns], title=f"{name}, first rows")
    _where(platform, last)
    return 0


def _spoilt(fault: str) -> int:
    """How many rows a fault spoils, where it is one of rows (`24 × negative price`) and not of the file."""
    count, _, what = fault.partition(" × ")
    return int(count) if what and count.isdigit() else 0


def next_day(platform: Platform) -> date:
    """The first day that the demo has not landed yet: it begins sixty days before today."""
    days = [f.batch_date for f in platform.ledger.files() if f.batch_date is not None]
    begin = platform.today() - _BEGINS_BEFORE
    return max((day + timedelta(days=1) for day in days if day >= begin), default=begin)


def _where(platform: Platform, last: date) -> None:
    settings = platform.settings
    places = {
        "lake": platform.lake.root,
        "database": describe(settings.marts_url),
        "reports": f"{settings.reports_uri}/daily/{last}.html",
        "landing zone": settings.landing,
    }
    terminal.out.print("\n[bold]Where things are[/bold]")
    for name, place in places.items():
        terminal.out.print(f"  {name:<14}{place}")
    terminal.out.print("\n[bold]Try next[/bold]")
    for command, does in (
        ("make dev", "Dagster's UI: the asset graph, its checks and history"),
        ("salesmart rejects", "every rejected row and file, with its reasons"),
        ("salesmart status", "every file and what became of it"),
        ('salesmart query "select * from sales_team_mart where incentive > 0"', "SQL over the lake"),
        ("make demo", "the next three days"),
    ):
        terminal.out.print(f"  {command:<70} {does}")
