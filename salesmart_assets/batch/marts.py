"""The marts: each stale month computed whole from the daily rollups, reconciled with the fact, and replaced."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Report, Run
from salesmart_assets.batch.warehouse import build_rollup, month_of, next_month
from salesmart_assets.errors import AuditFailed
from salesmart_assets.faultpoints import reach
from salesmart_assets.lake import NewFile, Snapshot
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
        tree: management.ManagementTree | None = None
        new: list[NewFile] = []
        sold = rollup.where(lambda f: month_of(f.value("sales_date") or "") in months)
        if sold.rows:
            if name == "sales_team_mart":
                rows = marts.sales_team_mart(
                    platform.frame(sold), platform.frame(sellers), table, platform.settings.incentive, platform.today()
                )
            elif name == "manager_mart":
                rows, tree = _manager_mart(platform, sold, sellers)
            else:
                rows = _customer_mart(platform, rollup, customers, months)
            new = platform.write(rows, name)
        _audit(name, months, platform.lake.uncommitted(name, new), facts, tree)
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
    if tree is not None and tree.problems:
        facts_shown["management_problems"] = list(tree.problems)
    return Report(rows=commit.rows, bytes=sum(f.size for f in new), version=commit.version, slices=tuple(months), facts=facts_shown)


def _customer_mart(platform: Platform, rollup: Snapshot, customers: Snapshot, months: Sequence[str]) -> DataFrame:
    """The months asked for; each looks back on the month before."""
    secret = platform.settings.coupon_secret
    wanted = rollup.where(lambda f: (m := month_of(f.value("sales_date") or "")) in months or next_month(m) in months)
    return marts.customer_mart(
        platform.frame(wanted),
        platform.frame(customers),
        platform.tables["customer_mart"],
        platform.settings.coupon,
        coupon_key(secret.get_secret_value() if secret is not None else None, platform.settings.root),
        platform.today(),
        [date.fromisoformat(m) for m in months],
    )


def _manager_mart(platform: Platform, sold: Snapshot, sellers: Snapshot) -> tuple[DataFrame, management.ManagementTree]:
    """Team totals over the tree as it stood on each day of the months."""
    tree = tree_of(platform, sellers, sold.partitions("sales_date"))
    bridge = frame_of(platform.session, tree.bridge)
    rows = marts.manager_mart(platform.frame(sold), bridge, platform.frame(sellers), platform.tables["manager_mart"], platform.today())
    return rows, tree


def tree_of(platform: Platform, sellers: Snapshot, days: Iterable[str]) -> management.ManagementTree:
    """Who stands above whom on each of the days."""
    return management.management_bridge(sellers.read(), sorted(date.fromisoformat(day) for day in days), names_shown(platform))


def names_shown(platform: Platform) -> Callable[[str], str | None]:
    """What of a seller's full name people see in passing: initials, where the contract calls a part of it personal data."""
    columns = platform.contracts["sales_team"].columns
    return masked if any(columns[name].pii for name in ("first_name", "last_name")) else str


def _months_of_batch(platform: Platform, run: Run) -> set[str]:
    staged = platform.lake.snapshot("stg_sales")
    return {month_of(d) for f in staged.files if f.value("batch_date") in run.dates and (d := f.value("sales_date"))}


def _audit(name: str, months: Collection[str], new: Snapshot, facts: Snapshot, tree: management.ManagementTree | None) -> None:
    """What a mart adds up to in each month is what the fact says: nothing that does not reconcile is committed."""
    for difference in differences(name, months, new, facts, tree).values():
        raise AuditFailed(f"{name}: {difference}. Nothing was committed.")


def differences(
    name: str, months: Collection[str], rows: Snapshot, facts: Snapshot, tree: management.ManagementTree | None
) -> dict[str, str]:
    """The months in which a mart does not add up to what the fact says, and how, in words; `tree` is that of the months' days."""
    month = pl.col("sales_date").dt.truncate("1mo").alias("sales_month")
    sold = (
        facts.where(lambda f: month_of(f.value("sales_date") or "") in months)
        .scan()
        .group_by(month, "sales_date", "sales_person_id")
        .agg(pl.col("total_cost").cast(_MONEY).sum().alias("total_sales"))
    )
    sums = ["total_sales"]
    if name == "manager_mart":
        # A sale counts for each manager above the seller on that day; where there is none, for nobody.
        above = pl.from_arrow(tree.bridge if tree else management.BRIDGE_SCHEMA.empty_table())
        assert isinstance(above, pl.DataFrame)
        total = pl.col("total_sales")
        direct = pl.when(pl.col("level") == 1).then(total).otherwise(0).alias("direct_sales")
        sold = sold.join(above.lazy(), on=["sales_date", "sales_person_id"]).with_columns(total.alias("team_sales"), direct)
        sums = ["direct_sales", "team_sales"]
    want, have = (_by_month(found, sums) for found in (sold, rows.scan()))
    nothing = dict.fromkeys(sums, Decimal(0))
    wrong: dict[str, str] = {}
    for slice_ in sorted(months):
        is_, should_be = have.get(slice_, nothing), want.get(slice_, nothing)
        for column in sums:
            if is_[column] != should_be[column]:
                wrong.setdefault(slice_, f"{column} of {slice_} adds up to {is_[column]}, but the fact to {should_be[column]}")
    return wrong


def _by_month(rows: pl.LazyFrame, sums: Sequence[str]) -> dict[str, dict[str, Decimal]]:
    """The sums of some columns, by month."""
    found = rows.group_by("sales_month").agg(pl.col(name).cast(_MONEY).sum() for name in sums).collect()
    return {row.pop("sales_month").isoformat(): row for row in found.to_dicts()}
