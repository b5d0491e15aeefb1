"""The marts: each stale month computed whole from the daily rollups, reconciled with the fact, and replaced."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Report, Run
from salesmart_assets.batch.warehouse import build_rollup, month_of, next_month
from salesmart_assets.contracts.tables import SUM
from salesmart_assets.errors import AuditFailed
from salesmart_assets.faultpoints import reach
from salesmart_assets.lake import NewFile, Snapshot, engine
from salesmart_assets.reports.page import masked
from salesmart_assets.security.coupon_key import coupon_key
from salesmart_assets.transforms import management, marts
from salesmart_assets.transforms.session import frame_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROLLUP_OF = {"customer_mart": "daily_customer_sales", "sales_team_mart": "daily_seller_sales", "manager_mart": "daily_seller_sales"}
_MONEY = pl.Decimal(28, 2)


def build_mart(platform: Platform, name: str, run: Run) -> Report:
    """Recompute the stale months of a mart, each as a whole, and replace them; marks them for publication."""
    table = platform.tables[name]
    with platform.ledger.writer.hold(waiting=platform.say) as lease:
        # Another run may have made the fact newer since this one added it up; a mart is held against the fact as it is now.
        build_rollup(platform, ROLLUP_OF[name], Run(run.batch_date, run.run_id))
        rollup = platform.lake.snapshot(ROLLUP_OF[name])
        sellers = platform.lake.snapshot("dim_sales_person")
        customers = platform.lake.snapshot("dim_customer")
        facts = platform.lake.snapshot("fact_sales")
        if run.rebuild:
            platform.ledger.touch({name: _months_of_batch(platform, run)}, run.batch_date)
        todo = platform.ledger.pending(name)
        old = platform.lake.snapshot(name)
        if not todo:
            return Report(version=old.version, facts={"changed": False})
        months = sorted(item.slice for item in todo)
        platform.say(f"{name}: {len(months)} months")
        problems: tuple[str, ...] = ()
        new: list[NewFile] = []
        sold = rollup.where(lambda f: month_of(f.value("sales_date") or "") in months)
        if sold.rows:
            if name == "sales_team_mart":
                rows = marts.sales_team_mart(
                    platform.frame(sold), platform.frame(sellers), table, platform.settings.incentive, platform.today()
                )
            elif name == "manager_mart":
                rows, problems = _manager_mart(platform, sold, sellers)
            else:
                rows = _customer_mart(platform, rollup, customers, months)
            new = _write(platform, name, rows)
        _audit(name, months, new, platform.lake.uri(name), facts)
        touched = {"publication": {f"{name}/{month}" for month in months}}
        platform.ledger.touch(touched, run.batch_date)
        commit = platform.lake.committer(name).commit(
            old,
            new,
            [f for f in old.files if f.value("sales_month") in months],
            slice_column="sales_month",
            slices=set(months),
            run_id=run.run_id,
            lease=lease,
        )
        reach("mart.committed", name)
        platform.ledger.touch(touched, run.batch_date)
        platform.ledger.clear(todo)
    facts_shown: dict[str, object] = {"months": months}
    if problems:
        facts_shown["management_problems"] = list(problems)
    return Report(rows=commit.rows, bytes=sum(f.size for f in new), version=commit.version, slices=tuple(months), facts=facts_shown)


def _customer_mart(platform: Platform, rollup: Snapshot, customers: Snapshot, months: Sequence[str]) -> DataFrame:
    """The months asked for; each looks back on the month before."""
    wanted = rollup.where(lambda f: (m := month_of(f.value("sales_date") or "")) in months or next_month(m) in months)
    return marts.customer_mart(
        platform.frame(wanted),
        platform.frame(customers),
        platform.tables["customer_mart"],
        platform.settings.coupon,
        coupon_key(platform.settings),
        platform.today(),
        [date.fromisoformat(m) for m in months],
    )


def _manager_mart(platform: Platform, sold: Snapshot, sellers: Snapshot) -> tuple[DataFrame, tuple[str, ...]]:
    """Team totals over the tree as it stood on each day of the months."""
    days = sorted(date.fromisoformat(d) for d in sold.partitions("sales_date"))
    tree = management.management_bridge(sellers.read(), days, names_shown(platform))
    bridge = frame_of(platform.session, tree.bridge)
    rows = marts.manager_mart(platform.frame(sold), bridge, platform.frame(sellers), platform.tables["manager_mart"], platform.today())
    return rows, tree.problems


def names_shown(platform: Platform) -> Callable[[str], str | None]:
    """What of a seller's full name people see in passing: initials, where the contract calls a part of it personal data."""
    columns = platform.contracts["sales_team"].columns
    return masked if any(columns[name].pii for name in ("first_name", "last_name")) else str


def _write(platform: Platform, name: str, rows: DataFrame) -> list[NewFile]:
    folder = platform.lake.fresh()
    engine.write(rows, platform.tables[name], platform.lake.uri(name), folder)
    return platform.lake.written(name, folder)


def _months_of_batch(platform: Platform, run: Run) -> set[str]:
    staged = platform.lake.snapshot("stg_sales")
    return {month_of(d) for f in staged.files if f.value("batch_date") == run.batch_date.isoformat() and (d := f.value("sales_date"))}


def _audit(name: str, months: Collection[str], new: Sequence[NewFile], uri: str, facts: Snapshot) -> None:
    """A mart's total of each month is the fact's: nothing that does not reconcile is committed."""
    if name == "manager_mart":
        # Sales without a manager are in no team, so its totals are bounded by the fact's, not equal to them.
        return
    part = facts.where(lambda f: month_of(f.value("sales_date") or "") in months)
    sold = part.scan().group_by(pl.col("sales_date").dt.truncate("1mo").alias("month")).agg(pl.col("total_cost").cast(_MONEY).sum())
    want = {row["month"].isoformat(): row["total_cost"] for row in sold.collect().to_dicts()}
    have: dict[str, Decimal] = {}
    for item in new:
        month = item.value("sales_month") or ""
        written = pl.scan_parquet(f"{uri}/{item.path}", hive_partitioning=False, storage_options=facts.storage or None)
        have[month] = have.get(month, Decimal(0)) + written.select(pl.col("total_sales").cast(_MONEY).sum()).collect().item()
    for month in sorted(months):
        if want.get(month, Decimal(0)) != have.get(month, Decimal(0)):
            raise AuditFailed(
                f"{name}: {month} adds up to {have.get(month, 0)}, but the fact's {month} to {want.get(month, 0)} ({SUM}). "
                "Nothing was committed."
            )
