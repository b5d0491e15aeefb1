"""The warehouse: the fact and the rollups, each recomputed for exactly the slices that are stale (dimensions: `batch.dimensions`).

Every step holds the writer's lease, pins the versions that it reads, and only then reads what is pending: rows that were
staged later than the pin have touched their slices again, and stay pending.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from salesmart_assets.batch.audits import Totalled, Totals, audit_fact
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import RESTATED, Report, Run
from salesmart_assets.contracts.tables import SOURCE_OF
from salesmart_assets.faultpoints import reach
from salesmart_assets.lake import Commit, NewFile, Snapshot
from salesmart_assets.ledger import Lease, PendingSlice
from salesmart_assets.transforms import fact, rollups

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROLLUP_SLICES = {"daily_seller_sales": ("sales_team_mart", "manager_mart"), "daily_customer_sales": ("customer_mart",)}


def build_fact(platform: Platform, run: Run) -> Report:
    """Recompute the stale sale dates of `fact_sales` and replace them whole."""
    name = "fact_sales"
    table, contract = platform.tables[name], platform.contracts["sales"]
    with platform.ledger.writer.hold(waiting=platform.say) as lease:
        staged = platform.lake.snapshot("stg_sales")
        members = {d: platform.lake.snapshot(d) for d in SOURCE_OF}
        if run.rebuild:
            _touch_batch(platform, name, run, staged)
        todo = platform.ledger.pending(name)
        old = platform.lake.snapshot(name)
        if not todo:
            return _unchanged(old)
        days = {item.slice for item in todo}
        part = staged.only("sales_date", days)
        platform.say(f"{name}: {len(days)} sale dates, {part.rows:,} staged rows")
        rows = platform.frame(part)
        new: list[NewFile] = []
        if part.rows:
            joined = fact.fact_sales(
                rows,
                platform.frame(members["dim_customer"]),
                platform.frame(members["dim_store"]),
                platform.frame(members["dim_product"]),
                platform.frame(members["dim_sales_person"]),
                table,
                contract,
            )
            new = platform.write(joined, name)
        reach("fact.written")
        losers = _duplicates(platform, rows) if part.rows else {}
        audit_fact(part, platform.lake.uncommitted(name, new), losers, members)
        touched = dict.fromkeys(ROLLUP_SLICES, days)
        commit = _replace(platform, name, old, new, "sales_date", todo, touched, lease, run, ("fact.committed",))
        platform.ledger.count_duplicates([date.fromisoformat(d) for d in days], {at: lost.rows for at, lost in losers.items()})
        platform.ledger.clear(todo)
    return Report(
        rows=commit.rows,
        bytes=sum(f.size for f in new),
        version=commit.version,
        slices=tuple(sorted(days)),
        facts={
            "sale_dates": len(days),
            "rows_duplicate": sum(lost.rows for lost in losers.values()),
            RESTATED: restated_months(days, old.partitions("sales_date"), run.batch_date.isoformat()),
        },
    )


def restated_months(days: Iterable[str], known: Iterable[str], batch_date: str) -> list[str]:
    """The months in which figures that were told already are told anew, of recomputed sale dates, those in the fact before, and today.

    A month of which later days are known than the one recomputed was told up to there; the batch date itself is not over.

    >>> restated_months({"2026-08-05", "2026-08-21", "2026-07-31"}, {"2026-08-01", "2026-08-20"}, "2026-08-22")
    ['2026-08-01']
    """
    told: dict[str, str] = {}
    for day in known:
        told[month_of(day)] = max(day, told.get(month_of(day), day))
    return sorted({month_of(day) for day in days if day < batch_date and day <= told.get(month_of(day), "")})


def build_rollup(platform: Platform, name: str, run: Run) -> Report:
    """Recompute the stale sale dates of a daily rollup; marks the months of its marts as stale."""
    table = platform.tables[name]
    rollup: Callable[..., DataFrame] = getattr(rollups, name)
    with platform.ledger.writer.hold(waiting=platform.say) as lease:
        facts = platform.lake.snapshot("fact_sales")
        if run.rebuild:
            _touch_batch(platform, name, run, platform.lake.snapshot("stg_sales"))
        todo = platform.ledger.pending(name)
        old = platform.lake.snapshot(name)
        if not todo:
            return _unchanged(old)
        days = {item.slice for item in todo}
        part = facts.only("sales_date", days)
        new = platform.write(rollup(platform.frame(part), table), name) if part.rows else []
        months = {month_of(d) for d in days}
        if name == "daily_customer_sales":
            # The next month looks back on this one.
            present = {month_of(d) for d in old.partitions("sales_date")}
            months |= {n for m in tuple(months) if (n := next_month(m)) in present}
        touched = dict.fromkeys(ROLLUP_SLICES[name], months)
        commit = _replace(platform, name, old, new, "sales_date", todo, touched, lease, run, ("rollup.committed", name))
        platform.ledger.clear(todo)
    return Report(rows=commit.rows, bytes=sum(f.size for f in new), version=commit.version, slices=tuple(sorted(days)))


def month_of(day: str) -> str:
    """The first day of an ISO date's month.

    >>> month_of("2026-11-23")
    '2026-11-01'
    """
    return f"{day[:7]}-01"


def next_month(month: str) -> str:
    """The month after.

    >>> next_month("2026-12-01")
    '2027-01-01'
    """
    year, number = int(month[:4]), int(month[5:7])
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}-01"


def _replace(
    platform: Platform,
    name: str,
    old: Snapshot,
    new: Sequence[NewFile],
    column: str,
    todo: Sequence[PendingSlice],
    touched: Mapping[str, Iterable[str]],
    lease: Lease,
    run: Run,
    fault: tuple[str, ...],
) -> Commit:
    """Replace stale slices of a table whole; what depends on them is marked before and after."""
    slices = {item.slice for item in todo}
    platform.ledger.touch(touched, run.batch_date)
    remove = [f for f in old.files if f.value(column) in slices]
    commit = platform.lake.committer(name).commit(old, new, remove, slice_column=column, slices=slices, run_id=run.run_id, lease=lease)
    reach(*fault)
    platform.ledger.touch(touched, run.batch_date)
    return commit


def _unchanged(snapshot: Snapshot) -> Report:
    return Report(rows=0, bytes=0, version=snapshot.version, facts={"changed": False})


def _touch_batch(platform: Platform, table: str, run: Run, staged: Snapshot) -> None:
    """Mark the sale dates of the run's batches as stale, for a person who asks for them to be rebuilt."""
    days = {d for f in staged.files if f.value("batch_date") in run.dates and (d := f.value("sales_date"))}
    platform.ledger.touch({table: days}, run.batch_date)


def _duplicates(platform: Platform, rows: DataFrame) -> Totalled:
    found = fact.duplicates_by_file(rows, platform.contracts["sales"]).collect()
    return {(r["file_id"], r["sales_date"]): Totals(r["duplicates"], int(r["quantity"]), r["total_cost"]) for r in found}
