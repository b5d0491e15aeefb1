"""How an engine reads a table at a pinned version, and writes to a fresh path. Engines never commit.

Sail reads Delta itself, and so do some Spark Connect servers. A plain Apache Spark has no Delta reader, so it gets the list of
a version's Parquet files, and the partition columns, which are not inside the files, from their paths.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from salesmart_assets.contracts import Table
from salesmart_assets.lake.snapshot import Snapshot


def spark_schema(table: Table, *, partitions: bool = True) -> str:
    """The table's columns in Spark's DDL."""
    return ", ".join(f"`{c.name}` {c.type.spark}" for c in table.columns if partitions or c.name not in table.partition_by)


def no_rows(spark: SparkSession, table: Table) -> DataFrame:
    """A frame with the table's columns and no rows. The types go along with it: no server is asked what their names mean."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return spark.createDataFrame([], schema=from_arrow_schema(table.arrow))


def reads_delta(spark: SparkSession, uri: str) -> bool:
    """Whether a server can read Delta tables by itself: told by how it takes being shown one."""
    from pyspark.errors import PySparkException

    try:
        return bool(spark.read.format("delta").load(uri).columns)
    except PySparkException as error:
        if "DATA_SOURCE_NOT_FOUND" in str(error):
            return False
        raise


def read(spark: SparkSession, snapshot: Snapshot, *, by_delta: bool) -> DataFrame:
    """The rows of a snapshot's files, with the table's columns in order."""
    table = snapshot.table
    if not snapshot.files:
        return no_rows(spark, table)
    if by_delta:
        frame = spark.read.format("delta").option("versionAsOf", str(snapshot.version)).load(snapshot.uri)
        for name in table.partition_by:
            is_date = table.column(name).type.name == "date"
            frame = frame.where(F.col(name).isin([date.fromisoformat(v) if is_date else v for v in sorted(snapshot.partitions(name))]))
        return frame.select(*table.names)
    paths = [f"{snapshot.uri}/{f.path}" for f in snapshot.files]
    frame = spark.read.schema(spark_schema(table, partitions=False)).parquet(*paths)
    for name in table.partition_by:
        text = F.regexp_extract(F.input_file_name(), f"/{name}=([^/]+)/", 1)
        frame = frame.withColumn(name, text.cast(table.column(name).type.spark))
    return frame.select(*table.names)


def typed(frame: DataFrame, table: Table) -> DataFrame:
    """Rows with the table's columns and types."""
    return frame.select(*[F.col(c.name).cast(c.type.spark).alias(c.name) for c in table.columns])


def write(frame: DataFrame, table: Table, table_uri: str, folder: str) -> None:
    """Write rows to a fresh folder of a table, in its partitions, as Parquet with snappy."""
    writer = typed(frame, table).write.mode("error").option("compression", "snappy")
    if table.partition_by:
        writer = writer.partitionBy(*table.partition_by)
    writer.parquet(f"{table_uri}/{folder}")
