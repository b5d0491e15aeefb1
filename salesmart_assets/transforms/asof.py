"""Looking up a dimension as of a day.

Versions are half-open `[valid_from, valid_to)`; a member's earliest version also serves the days before it. A deleted
version serves its days like any other.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

_ID, _FROM, _TO = "_member", "_from", "_to"


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
    return rows.join(versions, (F.col(member) == F.col(_ID)) & serves(day), "left").drop(_ID, _FROM, _TO)


def small(dimension: DataFrame) -> DataFrame:
    """A hint that the dimension fits into each worker's memory, so that the larger side need not move."""
    return F.broadcast(dimension)


def serves(day: str, first: str = _FROM, end: str = _TO) -> Column:
    """Whether a version that serves from `first` (NULL: always) to before `end` (NULL: for ever) serves `day`."""
    return (F.col(first).isNull() | (F.col(day) >= F.col(first))) & (F.col(end).isNull() | (F.col(day) < F.col(end)))
