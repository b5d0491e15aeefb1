"""Dimensions: brought up to date with what their source delivered since they were made.

A dimension is a function of everything that was ever staged, but what a batch costs follows the batch. With each version
of a dimension it is noted which version of staging it was made of. What is staged since then is one of three things:

- It comes in order: all of it is true from later days than anything before. The versions so far are extended by it.
- It comes late, or replaces something: the members that it names are built anew from all that is staged of them.
- It can't be told, or a person asked for it: everything is built anew.

All three give the same rows. Belongs here: which of the three it is, the audit, and what a new state makes stale. Does not
belong here: what the versions are (`transforms.dimensions`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import polars as pl
import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as F

from salesmart_assets.batch.locations import faults
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Report, Run
from salesmart_assets.batch.warehouse import month_of
from salesmart_assets.contracts import Contract, Table
from salesmart_assets.contracts.tables import SOURCE_OF, UNKNOWN_KEY, staging_name
from salesmart_assets.errors import AuditFailed
from salesmart_assets.faultpoints import reach
from salesmart_assets.lake import Snapshot, engine
from salesmart_assets.publish.rows import WHOLE
from salesmart_assets.transforms import changes, dimensions
from salesmart_assets.transforms.session import frame_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_EXAMPLES = 5
_BASIS = "salesmart.basis"
_RULES = 1
"""To be raised when the same staged rows give another dimension than before: each is built anew once."""


def build_dimension(platform: Platform, name: str, run: Run) -> Report:
    """Bring a dimension up to date, if its source delivered something; marks what depends on it as stale."""
    source = SOURCE_OF[name]
    with platform.ledger.writer.hold(waiting=platform.say) as lease:
        staged = platform.lake.snapshot(staging_name(source))
        old = platform.lake.snapshot(name)
        todo = platform.ledger.pending(name)
        if not todo and not run.rebuild:
            return _unchanged(old)
        table, contract = platform.tables[name], platform.contracts[source]
        complete = _complete_batches(platform, source) if contract.delivery == "snapshot" else []
        basis = _Basis.of(staged, table, contract, complete)
        update = None if run.rebuild else _update_since(platform, old, staged, contract, basis, complete)
        if update is not None and update.says_nothing:
            platform.ledger.clear(todo)
            return _unchanged(old)
        scope = _Scope.of(platform, update, contract)
        before = platform.frame(old)
        new = platform.write(_built(platform, before, staged, table, contract, update, scope, complete), name)
        fresh = engine.no_rows(platform.session, table)
        if new:
            paths = [f"{platform.lake.uri(name)}/{f.path}" for f in new]
            fresh = platform.session.read.schema(engine.spark_schema(table)).parquet(*paths)
        _audit_key(fresh, name, table.key[0])
        _audit_versions(scope.of_members(fresh), name, scope.member)
        _audit_others(scope.of_others(before), scope.of_others(fresh), name)
        touched = _stale_after(platform, name, before, fresh, update, scope)
        facts: dict[str, object] = {"changed": touched is not None, "built": update.kind if update else "whole"}
        if update is not None and update.members is not None:
            facts["members_delivered"] = update.members.num_rows
        if touched is None:
            platform.lake.discard(name, new)
            platform.ledger.clear(todo)
            return Report(rows=old.rows, bytes=old.size, version=old.version, facts=facts)
        touched["publication"] = {f"{name}/{WHOLE}"}
        platform.ledger.touch(touched, run.batch_date)
        reach("dimension.touched", name)
        commit = platform.lake.committer(name).commit(
            old, new, old.files, slice_column=None, slices=(), run_id=run.run_id, lease=lease, notes={_BASIS: basis.to_json()}
        )
        reach("dimension.committed", name)
        platform.ledger.touch(touched, run.batch_date)
        platform.ledger.clear(todo)
    facts["sale_dates_touched"] = sorted(touched.get("fact_sales", ()))
    return Report(rows=commit.rows, bytes=sum(f.size for f in new), version=commit.version, slices=(WHOLE,), facts=facts)


def _unchanged(snapshot: Snapshot) -> Report:
    return Report(rows=snapshot.rows, bytes=snapshot.size, version=snapshot.version, facts={"changed": False})


@dataclass(frozen=True, slots=True)
class _Basis:
    """What a version of a dimension was made of: the version of staging, the contract's rules, and the complete batches.

    `complete` is a digest over the complete batches, of which `through` is the last.
    """

    staging: int
    rules: str
    complete: str
    through: date | None

    @classmethod
    def of(cls, staged: Snapshot, table: Table, contract: Contract, complete: Sequence[date]) -> _Basis:
        """The basis of what is made now."""
        columns = [(c.name, c.type.name) for c in table.columns]
        rules = _digest([_RULES, contract.model_dump_json(), columns])
        return cls(staged.version, rules, _days_digest(complete), max(complete, default=None))

    def to_json(self) -> str:
        """As text, to be noted with the commit."""
        through = self.through.isoformat() if self.through else None
        return json.dumps({"staging": self.staging, "rules": self.rules, "complete": self.complete, "through": through})

    @classmethod
    def from_json(cls, text: str) -> _Basis:
        """The inverse of `to_json`."""
        found = json.loads(text)
        return cls(**{**found, "through": date.fromisoformat(found["through"]) if found["through"] else None})


@dataclass(frozen=True, slots=True)
class _Update:
    """What was delivered since a dimension was made.

    `members`: the members that it concerns, a column of natural keys; None for all. `first_day` and `batches` (of `in order`):
    no row is true from an earlier day, and the batch dates that the rows came with. `complete`: the complete batches among
    the new ones.
    """

    kind: Literal["in order", "by member"]
    members: pa.Table | None
    first_day: date | None = None
    batches: frozenset[str] = frozenset()
    complete: tuple[date, ...] = ()

    @property
    def says_nothing(self) -> bool:
        """Whether no member was delivered or taken back."""
        return self.members is not None and not self.members.num_rows


@dataclass(frozen=True, slots=True)
class _Scope:
    """The members that an update concerns, in the engine; all where `ids` is None."""

    member: str
    ids: DataFrame | None

    @classmethod
    def of(cls, platform: Platform, update: _Update | None, contract: Contract) -> _Scope:
        """The scope of an update."""
        ids = None if update is None or update.members is None else frame_of(platform.session, update.members)
        return cls(contract.natural_key or "", ids)

    def of_members(self, frame: DataFrame) -> DataFrame:
        """The rows of these members."""
        return frame if self.ids is None else frame.join(F.broadcast(self.ids), self.member, "left_semi").select(*frame.columns)

    def of_others(self, frame: DataFrame) -> DataFrame:
        """The rows of all other members."""
        return (
            frame.where(F.lit(False))
            if self.ids is None
            else frame.join(F.broadcast(self.ids), self.member, "left_anti").select(*frame.columns)
        )


def _update_since(
    platform: Platform, old: Snapshot, staged: Snapshot, contract: Contract, basis: _Basis, complete: Sequence[date]
) -> _Update | None:
    """What was delivered since `old` was made; None where that can't be told, or all must be built anew."""
    noted = platform.lake.notes(old).get(_BASIS)
    made_of = _Basis.from_json(str(noted)) if noted else None
    if made_of is None or made_of.rules != basis.rules:
        return None
    earlier = platform.lake.earlier(staged.table.name, made_of.staging)
    if earlier is None:
        return None
    before, now = {f.path for f in earlier.files}, {f.path for f in staged.files}
    added, removed = staged.where(lambda f: f.path not in before), earlier.where(lambda f: f.path not in now)
    last, first = _days(platform, earlier, contract), _days(platform, added, contract)
    known_until = max([day for day in (last[1], made_of.through) if day is not None], default=None)
    later = tuple(day for day in complete if known_until is None or day > known_until)
    if _days_digest([day for day in complete if day not in later]) != made_of.complete:
        # A batch of earlier days has become complete, or is complete no longer.
        return None
    begins = min([day for day in (first[0], *later) if day is not None], default=None)
    in_order = not removed.files and None not in (*first, *last) and begins is not None and known_until is not None and begins > known_until
    if contract.delivery == "snapshot":
        # Who is absent from a snapshot is concerned as well.
        return _Update("in order", None, begins, _batches(added), later) if in_order else None
    members = _members(contract, added, removed)
    if members is None:
        return None
    return _Update("in order", members, begins, _batches(added)) if in_order else _Update("by member", members)


def _batches(staged: Snapshot) -> frozenset[str]:
    return frozenset(staged.partitions("batch_date"))


def _days(platform: Platform, staged: Snapshot, contract: Contract) -> tuple[date | None, date | None]:
    """The first and the last day from which rows of these files are true or with which they came; None where it can't be told."""
    found = [date.fromisoformat(day) for day in staged.partitions("batch_date")]
    if "effective_date" in contract.columns:
        for bounds in platform.lake.bounds(staged, "effective_date").values():
            if bounds is None:
                return None, None
            found += [day for day in (bounds.low, bounds.high) if day is not None]
    return min(found, default=None), max(found, default=None)


def _members(contract: Contract, *parts: Snapshot) -> pa.Table | None:
    """The members that the files name, each once; None where a file that was replaced is gone from the disk."""
    member = contract.natural_key or ""
    try:
        frames = [part.scan().select(member) for part in parts if part.files]
        found = pl.concat(frames).unique().collect() if frames else pl.DataFrame(schema={member: pl.Int64})
    except (OSError, pl.exceptions.PolarsError):
        return None
    return found.to_arrow().cast(pa.schema([parts[0].table.arrow.field(member)]))


def _built(
    platform: Platform,
    before: DataFrame,
    staged: Snapshot,
    table: Table,
    contract: Contract,
    update: _Update | None,
    scope: _Scope,
    complete: Sequence[date],
) -> DataFrame:
    """The dimension's new state."""
    if update is None:
        return dimensions.build_dimension(platform.frame(staged), table, contract, complete)
    if update.kind == "in order":
        rows = platform.frame(staged.only("batch_date", update.batches))
        made = dimensions.extend_dimension(scope.of_members(before), rows, table, contract, update.complete)
    else:
        made = dimensions.build_dimension(scope.of_members(platform.frame(staged)), table, contract, complete)
    return made if scope.ids is None else scope.of_others(before).unionByName(made)


def _complete_batches(platform: Platform, source: str) -> list[date]:
    """Batch dates on which a snapshot of the source came in whole: nothing in it was rejected, or all of that was mended.

    A file that could not be read yet may name whoever the others don't, so its batch is not whole before; nor is what came
    since one of the source's locations can't be looked at.
    """
    whole: dict[date, bool] = {}
    files = platform.ledger.files(source=source, live_only=True)
    blind = min((f.since for place, f in faults(platform).items() if place.source == source), default=None)
    mended = {f.replay_of: f.rows_staged for f in files if f.replay_of is not None}
    for f in files:
        if f.batch_date is not None:
            seen = blind is None or f.first_seen.replace(tzinfo=timezone.utc) < blind
            clean = seen and f.outcome in ("loaded", "empty", "duplicate") and f.rows_rejected <= mended.get(f.file_id, 0)
            whole[f.batch_date] = whole.get(f.batch_date, True) and clean
    return sorted(day for day, clean in whole.items() if clean)


def _stale_after(
    platform: Platform, name: str, before: DataFrame, fresh: DataFrame, update: _Update | None, scope: _Scope
) -> dict[str, set[str]] | None:
    """The slices that the new dimension makes stale, by table; None if it equals the old one."""
    was, now = scope.of_members(before), scope.of_members(fresh)
    if now.exceptAll(was).limit(1).count() == 0 and was.exceptAll(now).limit(1).count() == 0:
        return None
    touched: dict[str, set[str]] = {}
    facts = _facts_concerned(platform, name, update, was, now)
    if facts.rows:
        # A product's name may be that of products which nothing was said about.
        states = (before, fresh) if name == "dim_product" else (was, now)
        days = changes.dates_touched(*states, platform.frame(facts), name).collect()
        touched["fact_sales"] = {row["sales_date"].isoformat() for row in days}
    if name == "dim_customer":
        sold = platform.lake.snapshot("daily_customer_sales")
        if sold.rows:
            members = changes.members_changed(was, now, "customer_id")
            rows = platform.frame(sold).join(F.broadcast(members), "customer_id", "left_semi")
            bought = rows.select(F.trunc("sales_date", "month").alias("m")).distinct().collect()
            touched["customer_mart"] = {row["m"].isoformat() for row in bought}
    if name == "dim_sales_person":
        months = {month_of(d) for d in platform.lake.snapshot("daily_seller_sales").partitions("sales_date")}
        shown = set(_on_all_days(platform, name)) - {"effective_date"}
        # A seller who is new may have sold before the first day that was told of.
        if update is not None and update.first_day is not None and not _differ(now, was, shown):
            months = {m for m in months if m >= month_of(update.first_day.isoformat())}
        touched["sales_team_mart"] = touched["manager_mart"] = months
    return touched


def _facts_concerned(platform: Platform, name: str, update: _Update | None, was: DataFrame, now: DataFrame) -> Snapshot:
    """The files of the fact in which a row may be another now.

    What comes in order changes the days from its first one on, and of earlier days only where a member was unknown, or a
    product was looked up by its name, which another may bear now. A price or cost of which no versions are kept is
    another on all days.
    """
    facts = platform.lake.snapshot("fact_sales")
    if update is None or update.first_day is None:
        return facts
    listed = {"price", "cost"} & set(_on_all_days(platform, name)) if name == "dim_product" else set()
    # Who was known before still is, so what is gone is what was said otherwise.
    if listed and _differ(was, now, {"product_id", *listed}):
        return facts
    first = update.first_day.isoformat()
    keys = platform.lake.bounds(facts, f"{name.removeprefix('dim_')}_key")
    unnumbered = platform.lake.bounds(facts, "product_id") if name == "dim_product" else {}

    def concerned(path: str, day: str) -> bool:
        key, number = keys.get(path), unnumbered.get(path)
        unknown = key is None or key.low is None or key.low <= UNKNOWN_KEY
        return day >= first or unknown or (name == "dim_product" and (number is None or number.nulls > 0))

    return facts.where(lambda f: concerned(f.path, f.value("sales_date") or first))


def _on_all_days(platform: Platform, name: str) -> list[str]:
    """The columns of a dimension that show their newest value on all days, the member's number among them."""
    contract = platform.contracts[SOURCE_OF[name]]
    by_day = {column for column, said in contract.columns.items() if contract.scd == 2 and said.type_2}
    return [c.name for c in contract.table_columns() if c.name not in by_day]


def _differ(some: DataFrame, others: DataFrame, columns: Collection[str]) -> bool:
    """Whether `some` have values in these columns that `others` do not have."""
    left, right = (frame.select(*sorted(columns)).distinct() for frame in (some, others))
    return left.exceptAll(right).limit(1).count() > 0


def _audit_key(fresh: DataFrame, name: str, key: str) -> None:
    """Keys tell versions apart."""
    twice = fresh.groupBy(key).count().where("count > 1").limit(_EXAMPLES).collect()
    if twice:
        raise AuditFailed(f"{name}: the key {key} is not unique, for example {[row[0] for row in twice]}. Nothing was committed.")


def _audit_versions(fresh: DataFrame, name: str, natural: str) -> None:
    """One current version per member, and versions that neither overlap nor leave gaps."""
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


def _audit_others(was: DataFrame, now: DataFrame, name: str) -> None:
    """Members that nothing was said about, which were audited when they were committed, are as they were."""
    if _fingerprint(was) != _fingerprint(now):
        raise AuditFailed(f"{name}: members would change of which nothing was delivered. Nothing was committed.")


def _fingerprint(rows: DataFrame) -> tuple[int, Decimal | None]:
    """The number of rows and a sum over their hashes: the same for the same rows in any order."""
    found = rows.agg(F.count(F.lit(1)), F.sum(F.xxhash64(*rows.columns).cast("decimal(38,0)"))).first()
    assert found is not None
    return found[0], found[1]


def _days_digest(days: Sequence[date]) -> str:
    return _digest([day.isoformat() for day in sorted(days)])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]
