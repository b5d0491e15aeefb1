"""Looking up a dimension as of a day.

Versions are half-open `[valid_from, valid_to)`; a member's earliest version also serves the days before it. A deleted
version serves its days like any other.

In every join here and in the modules above, the smaller side comes first: Sail holds the first side in memory and lets
the second stream past, whatever the hints; Apache Spark goes by the hints.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

_ID, _FROM, _TO = "_member", "_from", "_to"
# Written out: PySpark's own client for a JVM writes no year before 1000 in four digits, and Apache Spark reads no other.
_BEGINNING = "0001-01-01"


def serving_from(natural_key: str) -> Column:
    """First day that a version serves, NULL for a member's earliest version: it serves all days before `valid_to`."""
    first = F.row_number().over(Window.partitionBy(natural_key).orderBy("valid_from")) == 1
    return F.when(~first, F.col("valid_from"))


def as_of(rows: DataFrame, member: str, day: str, dimension: DataFrame, natural_key: str, columns: Mapping[str, Column]) -> DataFrame:
    """`rows` with `columns` (new name: expression over the dimension) of the version of `member` that is true on `day`.

    Every row stays, once; where the member is unknown, the new columns are NULL.
    """
    versions = dimension.select(
        F.col(natural_key).alias(_ID),
        serving_from(natural_key).alias(_FROM),
        F.col("valid_to").alias(_TO),
        *(expression.alias(name) for name, expression in columns.items()),
    )
    return versions.join(rows, (F.col(member) == F.col(_ID)) & serves(day), "right").drop(_ID, _FROM, _TO)


def timeline(
    mentions: DataFrame, member: str, day: str, dimension: DataFrame, natural_key: str, key: str, kept: Mapping[str, str]
) -> DataFrame:
    """`member`, `day` and the columns `kept` (name: type) of `mentions`, with the `key` of the version that is true on `day`.

    Like `as_of`, for members that may have a version a day: versions and mentions are put in one order in time, so the
    work does not grow with versions times mentions. Mentions of unknown members are left out.
    """
    begins = F.coalesce(serving_from(natural_key), F.lit(_BEGINNING).cast("date")).alias(day)
    # The types are given, because Sail may take a column of untyped NULLs for one that has no type.
    nothing = [F.lit(None).cast(type_name).alias(name) for name, type_name in kept.items()]
    versions = dimension.select(F.col(natural_key).alias(member), begins, *nothing, F.lit(0).alias("_kind"), key)
    asked = mentions.select(member, day, *kept, F.lit(1).alias("_kind"), F.lit(None).cast("bigint").alias(key))
    so_far = Window.partitionBy(member).orderBy(day, "_kind").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    placed = versions.union(asked).withColumn(key, F.last(key, ignorenulls=True).over(so_far))
    return placed.where((F.col("_kind") == 1) & F.col(key).isNotNull()).drop("_kind")


def serves(day: str, first: str = _FROM, end: str = _TO) -> Column:
    """Whether a version that serves from `first` (NULL: always) to before `end` (NULL: for ever) serves `day`."""
    return (F.col(first).isNull() | (F.col(day) >= F.col(first))) & (F.col(end).isNull() | (F.col(day) < F.col(end)))


def small(dimension: DataFrame) -> DataFrame:
    """A hint that the dimension fits into each worker's memory, so that the larger side need not move."""
    return F.broadcast(dimension)
