"""The warehouse: dimensions, the fact and the rollups, each recomputed for exactly the slices that are stale.

Every step holds the writer's lease, pins the versions that it reads, and only then reads what is pending: rows that were
staged later than the pin have touched their slices again, and stay pending.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Report, Run
from salesmart_assets.contracts.tables import SOURCE_OF, staging_name
from salesmart_assets.errors import AuditFailed
from salesmart_assets.faultpoints import reach
from salesmart_assets.lake import Commit, NewFile, Snapshot, engine
from salesmart_assets.ledger import Lease, PendingSlice
from salesmart_assets.transforms import changes, dimensions, fact, rollups

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROLLUP_SLICES = {"daily_seller_sales": ("sales_team_mart", "manager_mart"), "daily_customer_sales": ("customer_mart",)}
WHOLE = "all"
_EXAMPLES = 5


def build_dimension(platform: Platform, name: str, run: Run) -> Report:
    """Rebuild a dimension from all that its source ever delivered, if that has changed; marks what depends on it as stale."""
    source = SOURCE_OF[name]
    with platform.ledger.writer.hold(waiting=platform.say) as lease:
        staged = platform.lake.snapshot(staging_name(source))
        old = platform.lake.snapshot(name)
        todo = platform.ledger.pending(name)
        if not todo and not run.rebuild:
            return Report(rows=old.rows, bytes=old.size, version=old.version, facts={"changed": False})
        table, contract = platform.tables[name], platform.contracts[source]
        complete = _complete_batches(platform, source) if contract.delivery == "snapshot" else ()
        folder = platform.lake.fresh()
        built = dimensions.build_dimension(platform.frame(staged), table, contract, complete)
        engine.write(built, table, platform.lake.uri(name), folder)
        new = platform.lake.written(name, folder)
        fresh = platform.session.read.schema(engine.spark_schema(table)).parquet(*[f"{platform.lake.uri(name)}/{f.path}" for f in new])
        if not new:
            fresh = platform.session.createDataFrame([], engine.spark_schema(table))
        _audit_dimension(fresh, name, table.key[0], contract.natural_key or "")
        touched = _stale_after(platform, name, old, fresh)
        if touched is None:
            platform.lake.discard(name, folder)
            platform.ledger.clear(todo)
            return Report(rows=old.rows, bytes=old.size, version=old.version, facts={"changed": False})
        touched["publication"] = {f"{name}/{WHOLE}"}
        platform.ledger.touch(touched, run.batch_date)
        reach("dimension.touched", name)
        commit = platform.lake.committer(name).commit(old, new, old.files, slice_column=None, slices=(), run_id=run.run_id, lease=lease)
        reach("dimension.committed", name)
        platform.ledger.touch(touched, run.batch_date)
        platform.ledger.clear(todo)
    return Report(
        rows=commit.rows,
        bytes=sum(f.size for f in new),
        version=commit.version,
        slices=(WHOLE,),
        facts={"changed": True, "sale_dates_touched": sorted(touched.get("fact_sales", ()))},
    )


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
        folder = platform.lake.fresh()
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
            engine.write(joined, table, platform.lake.uri(name), folder)
        new = platform.lake.written(name, folder)
        reach("fact.written")
        losers = _duplicates(platform, rows) if part.rows else {}
        _audit_fact(part, new, losers)
        touched = dict.fromkeys(ROLLUP_SLICES, days)
        commit = _replace(platform, name, old, new, "sales_date", todo, touched, lease, run, ("fact.committed",))
        platform.ledger.count_duplicates([date.fromisoformat(d) for d in days], losers)
        platform.ledger.clear(todo)
    return Report(
        rows=commit.rows,
        bytes=sum(f.size for f in new),
        version=commit.version,
        slices=tuple(sorted(days)),
        facts={"sale_dates": len(days), "rows_duplicate": sum(losers.values())},
    )


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
        folder = platform.lake.fresh()
        if part.rows:
            engine.write(rollup(platform.frame(part), table), table, platform.lake.uri(name), folder)
        new = platform.lake.written(name, folder)
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
    """Mark the sale dates of a batch as stale, for a person who asks for the batch to be rebuilt."""
    days = {d for f in staged.files if f.value("batch_date") == run.batch_date.isoformat() and (d := f.value("sales_date"))}
    platform.ledger.touch({table: days}, run.batch_date)


def _complete_batches(platform: Platform, source: str) -> list[date]:
    """Batch dates on which a snapshot of the source came in whole: nothing in it was rejected, or all of that was mended."""
    whole: dict[date, bool] = {}
    files = platform.ledger.files(source=source, live_only=True)
    mended = {f.replay_of: f.rows_staged for f in files if f.replay_of is not None}
    for f in files:
        if f.batch_date is not None and f.outcome is not None:
            clean = f.outcome in ("loaded", "empty", "duplicate") and f.rows_rejected <= mended.get(f.file_id, 0)
            whole[f.batch_date] = whole.get(f.batch_date, True) and clean
    return sorted(day for day, clean in whole.items() if clean)


def _stale_after(platform: Platform, name: str, old: Snapshot, fresh: DataFrame) -> dict[str, set[str]] | None:
    """The slices that the new dimension makes stale, by table; None if it equals the old one."""
    before = platform.frame(old)
    if fresh.exceptAll(before).limit(1).count() == 0 and before.exceptAll(fresh).limit(1).count() == 0:
        return None
    facts = platform.lake.snapshot("fact_sales")
    touched: dict[str, set[str]] = {}
    if facts.rows:
        days = changes.dates_touched(before, fresh, platform.frame(facts), name).collect()
        touched["fact_sales"] = {row["sales_date"].isoformat() for row in days}
    if name == "dim_customer":
        sold = platform.lake.snapshot("daily_customer_sales")
        if sold.rows:
            members = changes.members_changed(before, fresh, "customer_id")
            rows = platform.frame(sold).join(F.broadcast(members), "customer_id", "left_semi")
            bought = rows.select(F.trunc("sales_date", "month").alias("m")).distinct().collect()
            touched["customer_mart"] = {row["m"].isoformat() for row in bought}
    if name == "dim_sales_person":
        months = {month_of(d) for d in platform.lake.snapshot("daily_seller_sales").partitions("sales_date")}
        touched["sales_team_mart"] = touched["manager_mart"] = months
    return touched


def _audit_dimension(fresh: DataFrame, name: str, key: str, natural: str) -> None:
    """One current version per member, keys that tell versions apart, and versions that neither overlap nor leave gaps."""
    twice = fresh.groupBy(key).count().where("count > 1").limit(_EXAMPLES).collect()
    if twice:
        raise AuditFailed(f"{name}: the key {key} is not unique, for example {[row[0] for row in twice]}. Nothing was committed.")
    current = fresh.groupBy(natural).agg(F.sum(F.col("is_current").cast("int")).alias("n")).where("n <> 1").limit(_EXAMPLES).collect()
    if current:
        raise AuditFailed(f"{name}: not one current version for {natural} {[row[0] for row in current]}. Nothing was committed.")
    following = F.lead("valid_from").over(Window.partitionBy(natural).orderBy("valid_from"))
    gaps = (
        fresh.withColumn("following", following)
        .where("(following is null and valid_to is not null) or (following is not null and (valid_to is null or valid_to <> following))")
        .limit(_EXAMPLES)
        .collect()
    )
    if gaps:
        raise AuditFailed(f"{name}: versions overlap or leave gaps for {natural} {[row[natural] for row in gaps]}. Nothing was committed.")


def _duplicates(platform: Platform, rows: DataFrame) -> dict[tuple[int, date], int]:
    found = fact.duplicates_by_file(rows, platform.contracts["sales"]).collect()
    return {(row["file_id"], row["sales_date"]): row["duplicates"] for row in found}


def _audit_fact(staged: Snapshot, new: Sequence[NewFile], losers: Mapping[tuple[int, date], int]) -> None:
    """Rows reconcile, date by date: staged = fact + duplicates."""
    want: dict[str, int] = {}
    for f in staged.files:
        day = f.value("sales_date") or ""
        want[day] = want.get(day, 0) + f.rows
    for (_, day_of), count in losers.items():
        want[day_of.isoformat()] -= count
    have: dict[str, int] = {}
    for item in new:
        day = item.value("sales_date") or ""
        have[day] = have.get(day, 0) + item.rows
    wrong = sorted(day for day in want.keys() | have.keys() if want.get(day, 0) != have.get(day, 0))
    if wrong:
        day = wrong[0]
        raise AuditFailed(
            f"fact_sales: {want.get(day, 0)} rows should be there for {day} (staged minus duplicates), but {have.get(day, 0)} were "
            f"computed; {len(wrong)} dates differ. Nothing was committed."
        )
