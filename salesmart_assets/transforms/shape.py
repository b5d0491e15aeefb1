"""Bringing a frame into the shape that the table's declaration gives: its columns, in order, each cast to its type.

Engines differ in the types of decimal results, so every transformation ends here.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from salesmart_assets.contracts import Table


def as_table(frame: DataFrame, table: Table) -> DataFrame:
    """`frame` with exactly the columns of `table`, in its order and types."""
    return frame.select(*(F.col(c.name).cast(c.type.spark).alias(c.name) for c in table.columns))


def month_of(day: str) -> Column:
    """The first day of the month of the date column `day`."""
    return F.trunc(F.col(day), "month").cast("date")


def divided(amount: Column, by: Column) -> Column:
    """`amount` / `by`, an amount of money over a positive whole number, rounded half up (away from zero) to two decimals.

    Engines give the quotient of decimals different scales, so this divides exactly, in whole halves of a cent: the
    quotient is rounded once, and everywhere alike.
    """
    return divided_cents(F.abs(amount).cast("decimal(28,2)") * F.lit(100), by, F.signum(amount).cast("decimal(1,0)"))


def divided_cents(cents: Column, by: Column, sign: Column) -> Column:
    """`sign` × `cents` / `by` as money, half up; `cents` is a whole number that is not negative, `by` a positive one."""
    whole = (cents * F.lit(2)).cast("decimal(38,0)") + by.cast("decimal(38,0)")
    twice = (by * F.lit(2)).cast("decimal(38,0)")
    quotient = ((whole - whole % twice) / twice).cast("decimal(27,0)")
    return (sign * quotient * F.lit("0.01").cast("decimal(3,2)")).cast("decimal(28,2)")
