"""Dimensions from everything that was ever staged: which versions of a member are true when.

The result depends on the staged rows alone, not on the order in which they arrived.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from salesmart_assets.contracts import Contract, Table
from salesmart_assets.contracts.tables import MONEY
from salesmart_assets.transforms.shape import as_table

_NOT_NEGATIVE = 0x7FFF_FFFF_FFFF_FFFF


def build_dimension(staged: DataFrame, table: Table, contract: Contract, complete_batches: Sequence[date] = ()) -> DataFrame:
    """The dimension `table` from all staged rows of its source.

    A row is true from its `effective_date`, or from its batch date where it has none. Of several rows for one day the
    last wins, by batch date, file and row. Type 2: a version begins where a `type_2` column changes; the other
    columns have the newest value in all versions. Type 1: one row per member, with the newest values.

    `complete_batches` are the batch dates of a source with `delivery: snapshot` from whose files nothing was rejected
    (ignored for `changes`). A member of an earlier batch that is absent from such a batch is deleted from that day
    until it comes back: from the effective date of the row that brings it back, or that row's batch date if the
    effective date is before the deletion. What was announced for a later day is withdrawn if the member is absent
    from a complete batch before, or on, that day.
    """
    return _from_events(_delivered(staged, contract), table, contract, complete_batches)


def extend_dimension(
    versions: DataFrame, staged: DataFrame, table: Table, contract: Contract, complete_batches: Sequence[date] = ()
) -> DataFrame:
    """What `build_dimension` gives for members with these `versions`, after more deliveries, without their history.

    Only for deliveries that come after all that the versions were made of: the batch dates and the days from which the
    rows of `staged` are true, and `complete_batches`, are later than any batch date, day or complete batch so far.
    """
    member, values = _member(contract), _values(contract)
    # A version is as good as the row that began it: rows after it that changed nothing would change nothing here. Where the
    # newest value stands in all versions, it stands in the last one as well.
    known = versions.select(
        member,
        *values,
        "valid_from",
        F.col("valid_from").alias("batch_date"),
        F.lit("").alias("source_file"),
        F.lit(0).cast("bigint").alias("source_row"),
        "is_deleted",
    )
    return _from_events(known.unionByName(_delivered(staged, contract)), table, contract, complete_batches)


def _member(contract: Contract) -> str:
    assert contract.natural_key is not None
    return contract.natural_key


def _values(contract: Contract) -> dict[str, str]:
    """The columns that describe a member, with their types."""
    return {c.name: c.type.spark for c in contract.table_columns() if c.name not in (contract.natural_key, "effective_date")}


def _delivered(staged: DataFrame, contract: Contract) -> DataFrame:
    """What staged rows say: the member, its values, and the day from which they are true."""
    batch = F.col("batch_date")
    effective = F.coalesce(F.col("effective_date"), batch) if "effective_date" in contract.columns else batch
    return staged.select(
        _member(contract),
        *_values(contract),
        effective.alias("valid_from"),
        batch,
        "source_file",
        "source_row",
        F.lit(False).alias("is_deleted"),
    )


def _from_events(rows: DataFrame, table: Table, contract: Contract, complete_batches: Sequence[date]) -> DataFrame:
    member, values = _member(contract), _values(contract)
    days = sorted(set(complete_batches)) if contract.delivery == "snapshot" else []
    if days:
        rows = _with_absences(rows, member, values, days)
    else:
        rows = _last_of(rows, (member, "valid_from"), ("batch_date", "source_file", "source_row"))
    return as_table(_type_2(rows, member, values, table, contract) if contract.scd == 2 else _type_1(rows, member, table), table)


def _last_of(rows: DataFrame, group: Sequence[str], order: Sequence[str]) -> DataFrame:
    """The last row of each group."""
    window = Window.partitionBy(*group).orderBy(*(F.col(c).desc() for c in order))
    return rows.withColumn("_place", F.row_number().over(window)).where("_place = 1").drop("_place")


def _key(*columns: Column) -> Column:
    return F.xxhash64(*columns).bitwiseAND(F.lit(_NOT_NEGATIVE))


def _surrogate(table: Table) -> str:
    """Name of the table's surrogate key."""
    return table.key[0]


def _type_1(rows: DataFrame, member: str, table: Table) -> DataFrame:
    first = F.min("valid_from").over(Window.partitionBy(member))
    newest = _last_of(rows.withColumn("_first", first), (member,), ("valid_from",)).withColumn("valid_from", F.col("_first"))
    return _completed(newest, table, _key(F.col(member))).withColumn("valid_to", F.lit(None).cast("date"))


def _type_2(rows: DataFrame, member: str, values: Mapping[str, str], table: Table, contract: Contract) -> DataFrame:
    in_order = Window.partitionBy(member).orderBy("valid_from")
    all_of_member = in_order.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    compared = [*(c for c in values if contract.columns[c].type_2), "is_deleted"]
    same = F.lag("is_deleted").over(in_order).isNotNull()
    for name in compared:
        same = same & F.col(name).eqNullSafe(F.lag(name).over(in_order))
    newest = {c: F.last(c).over(all_of_member) for c in values if not contract.columns[c].type_2}
    versions = rows.withColumns({**newest, "_same": same}).where(~F.col("_same"))
    if "previous_price" in table.names:
        versions = versions.withColumn("previous_price", F.lag("price").over(in_order))
    versions = versions.withColumn("valid_to", F.lead("valid_from").over(in_order))
    return _completed(versions, table, _key(F.col(member), F.col("valid_from")))


def _completed(versions: DataFrame, table: Table, key: Column) -> DataFrame:
    if "valid_to" not in versions.columns:
        versions = versions.withColumn("is_current", F.lit(True))
    else:
        versions = versions.withColumn("is_current", F.col("valid_to").isNull())
    if "previous_price" in table.names and "previous_price" not in versions.columns:
        versions = versions.withColumn("previous_price", F.lit(None).cast(MONEY))
    return versions.withColumn(_surrogate(table), key)


def _with_absences(rows: DataFrame, member: str, values: Mapping[str, str], days: Sequence[date]) -> DataFrame:
    """One row per member and day on which something changes, `is_deleted` from the day of an absence until a return.

    An absence begins at the first complete batch after one that has the member; a further absence while the member is
    away says nothing new. A row of a returning member whose effective date is in the past marks its batch date too.
    """
    presence = _absences(rows, member, days)
    kept = rows.join(presence.select(member, "batch_date", "_withdrawn"), [member, "batch_date"]).where(
        F.col("_withdrawn").isNull() | (F.col("valid_from") < F.col("_withdrawn"))
    )
    marks = (F.lit(None).cast("string").alias("source_file"), F.lit(None).cast("bigint").alias("source_row"))
    nothing = [F.lit(None).cast(type_name).alias(name) for name, type_name in values.items()]
    returns = presence.where(F.col("_first") < F.col("batch_date")).select(
        member, *nothing, F.col("batch_date").alias("valid_from"), "batch_date", *marks, F.lit(False).alias("is_deleted")
    )
    absences = presence.where(F.col("_absent").isNotNull()).select(
        member,
        *nothing,
        F.col("_absent").alias("valid_from"),
        F.col("_absent").alias("batch_date"),
        *marks,
        F.lit(True).alias("is_deleted"),
    )
    events = kept.drop("_withdrawn").select(*rows.columns).unionByName(returns).unionByName(absences)
    events = events.withColumn("_delivered", F.col("source_row").isNotNull().cast("int"))
    # On one day a delivered row comes before a mark: had it been older than an absence, it would be withdrawn.
    winners = _last_of(events, (member, "valid_from"), ("_delivered", "batch_date", "source_file", "source_row"))
    # A mark has the values of the last delivered row before it.
    delivered = F.sum("_delivered").over(Window.partitionBy(member).orderBy("valid_from"))
    winners = winners.withColumn("_delivery", delivered).where(F.col("_delivery") > 0)
    of_delivery = Window.partitionBy(member, "_delivery").orderBy("valid_from")
    return winners.withColumns({c: F.first(c).over(of_delivery) for c in values}).drop("_delivered", "_delivery")


def _absences(rows: DataFrame, member: str, days: Sequence[date]) -> DataFrame:
    """Every (member, batch date) delivered, and what follows from it; NULL where nothing does.

    `_first`: earliest day from which the rows are true. `_absent`: first complete batch without the member before its
    next delivery. `_withdrawn`: first such absence after this batch, whichever delivery it follows.
    """
    session = rows.sparkSession
    delivered = rows.groupBy(member, "batch_date").agg(F.min("valid_from").alias("_first"))
    complete = session.createDataFrame(pa.table({"batch_date": pa.array(days, pa.date32())})).withColumn("_complete", F.col("batch_date"))
    calendar = rows.select("batch_date").distinct().withColumn("_complete", F.lit(None).cast("date")).unionByName(complete)
    by_day = calendar.groupBy("batch_date").agg(F.max("_complete").alias("_complete"))
    after = Window.partitionBy(F.lit(0)).orderBy("batch_date").rowsBetween(1, Window.unboundedFollowing)
    next_complete = by_day.select("batch_date", F.min("_complete").over(after).alias("_next_complete"))
    in_order = Window.partitionBy(member).orderBy("batch_date")
    following = in_order.rowsBetween(Window.currentRow, Window.unboundedFollowing)
    back = F.lead("batch_date").over(in_order)
    return (
        delivered.join(F.broadcast(next_complete), "batch_date")
        .withColumn("_back", back)
        .withColumn("_absent", F.when(F.col("_back").isNull() | (F.col("_next_complete") < F.col("_back")), F.col("_next_complete")))
        .withColumn("_withdrawn", F.min("_absent").over(following))
    )
