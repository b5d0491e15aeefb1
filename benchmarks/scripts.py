"""What people write by hand for this job: the same day of files to a fact, two marts and a database, for three engines.

    python -m benchmarks.scripts duckdb|polars|pyspark FILES OUT

Each script reads the five sources below FILES, joins them to a fact in Parquet files by sale date below OUT, adds the fact up to
`customer_mart` and `sales_team_mart` with the incentive, and puts both into the SQLite database OUT/marts.db. None of them checks a
row, keeps a rejected one, can be repeated after a crash, or knows a file that it has read before. They are written as their
engines' manuals would have it.

Belongs here: the scripts. What is measured and compared is in `end_to_end`.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

CORES = 2
CUSTOMER_MART = "customer_id, sales_month, total_sales, purchases"
SALES_TEAM_MART = "store_id, sales_person_id, sales_month, full_name, manager_id, total_sales, incentive"
_TYPES = {
    "customer_id": "BIGINT",
    "store_id": "BIGINT",
    "product_name": "VARCHAR",
    "sales_date": "DATE",
    "sales_person_id": "BIGINT",
    "price": "DECIMAL(18,2)",
    "quantity": "BIGINT",
    "total_cost": "DECIMAL(18,2)",
    "transaction_id": "VARCHAR",
    "line_number": "BIGINT",
    "product_id": "BIGINT",
    "payment_mode": "VARCHAR",
    "pos_id": "VARCHAR",
}


def _publish(out: Path, table: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
    """Put rows into a new table of the database, money as text: SQLite has no decimals."""
    with sqlite3.connect(out / "marts.db") as database:
        database.execute(f"CREATE TABLE {table} ({columns})")
        database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns.split(',')))})", rows)
    database.close()


def duckdb_script(files: Path, out: Path) -> None:
    """SQL for DuckDB."""
    import duckdb

    database = duckdb.connect()
    database.execute(f"SET threads = {CORES}")
    for source in ("customers", "stores", "products", "sales_team"):
        database.execute(f"CREATE TABLE {source} AS SELECT * FROM read_csv('{files}/{source}/*/*.csv', header = true)")
    database.execute(
        f"""
        COPY (
            SELECT s.*, c.pincode, t.first_name || ' ' || t.last_name AS seller, t.manager_id, st.store_manager_name, p.category,
                   p.cost AS list_cost, s.price - p.price AS price_variance
            FROM read_csv('{files}/sales/*/*.csv', header = true, columns = {_TYPES}) s
            LEFT JOIN customers c USING (customer_id)
            LEFT JOIN stores st ON st.store_id = s.store_id
            LEFT JOIN products p ON p.product_id = s.product_id
            LEFT JOIN sales_team t ON t.sales_person_id = s.sales_person_id
        ) TO '{out}/fact' (FORMAT parquet, PARTITION_BY (sales_date), COMPRESSION snappy)
        """
    )
    database.execute(f"CREATE VIEW fact AS SELECT * FROM read_parquet('{out}/fact/*/*.parquet', hive_partitioning = true)")
    customers = database.execute(
        """
        SELECT customer_id, strftime(date_trunc('month', sales_date), '%Y-%m-%d'), CAST(sum(total_cost) AS VARCHAR),
               count(DISTINCT transaction_id)
        FROM fact GROUP BY 1, 2
        """
    )
    _publish(out, "customer_mart", CUSTOMER_MART, customers.fetchall())
    sellers = database.execute(
        """
        WITH totals AS (
            SELECT store_id, sales_person_id, date_trunc('month', sales_date) AS sales_month, any_value(seller) AS seller,
                   any_value(manager_id) AS manager_id, sum(total_cost) AS total_sales
            FROM fact GROUP BY 1, 2, 3
        )
        SELECT store_id, sales_person_id, strftime(sales_month, '%Y-%m-%d'), seller, manager_id, CAST(total_sales AS VARCHAR),
               CAST(CASE WHEN rank() OVER (PARTITION BY store_id, sales_month ORDER BY total_sales DESC) = 1
                         THEN round(total_sales * 0.01, 2) ELSE 0 END AS VARCHAR)
        FROM totals
        """
    )
    _publish(out, "sales_team_mart", SALES_TEAM_MART, sellers.fetchall())


def polars_script(files: Path, out: Path) -> None:
    """Lazy frames and the streaming engine of Polars."""
    import polars as pl

    kinds: dict[str, Any] = {"BIGINT": pl.Int64, "VARCHAR": pl.String, "DATE": pl.Date, "DECIMAL(18,2)": pl.Decimal(18, 2)}
    customers, stores, products, team = (
        pl.scan_csv(files / source / "*" / "*.csv", try_parse_dates=True) for source in ("customers", "stores", "products", "sales_team")
    )
    sales = pl.scan_csv(files / "sales" / "*" / "*.csv", schema={name: kinds[kind] for name, kind in _TYPES.items()})
    fact = (
        sales.join(customers.select("customer_id", "pincode"), on="customer_id", how="left")
        .join(stores.select("store_id", "store_manager_name"), on="store_id", how="left")
        .join(
            products.select("product_id", "category", pl.col("cost").alias("list_cost"), pl.col("price").alias("list_price")),
            on="product_id",
            how="left",
        )
        .join(
            team.select("sales_person_id", "manager_id", pl.concat_str("first_name", "last_name", separator=" ").alias("seller")),
            on="sales_person_id",
            how="left",
        )
        .with_columns(price_variance=pl.col("price").cast(pl.Float64) - pl.col("list_price"))
    )
    fact.sink_parquet(pl.PartitionBy(out / "fact", key="sales_date"), compression="snappy", mkdir=True)
    stored = pl.scan_parquet(out / "fact" / "*" / "*.parquet", hive_partitioning=True)
    month = pl.col("sales_date").dt.truncate("1mo").alias("sales_month")
    bought = (
        stored.group_by("customer_id", month)
        .agg(pl.col("total_cost").sum().alias("total_sales"), pl.col("transaction_id").n_unique().alias("purchases"))
        .with_columns(pl.col("sales_month", "total_sales").cast(pl.String))
        .collect(engine="streaming")
    )
    _publish(out, "customer_mart", CUSTOMER_MART, bought.rows())
    total = pl.col("total_sales")
    cents = (total * 100).cast(pl.Int64)
    sold = (
        stored.group_by("store_id", "sales_person_id", month)
        .agg(pl.col("seller").first(), pl.col("manager_id").first(), pl.col("total_cost").sum().alias("total_sales"))
        .with_columns(incentive=pl.when(total == total.max().over("store_id", "sales_month")).then((cents + 50) // 100).otherwise(0))
        .with_columns(
            pl.col("sales_month", "total_sales").cast(pl.String), (pl.col("incentive").cast(pl.Decimal(18, 2)) / 100).cast(pl.String)
        )
        .collect(engine="streaming")
    )
    _publish(out, "sales_team_mart", SALES_TEAM_MART, sold.rows())


def pyspark_script(files: Path, out: Path) -> None:
    """PySpark on Apache Spark, on this machine's cores."""
    from pyspark.sql import SparkSession, Window
    from pyspark.sql import functions as F

    spark = (
        SparkSession.builder.master(f"local[{CORES}]")
        .appName("sales")
        .config("spark.ui.enabled", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.driver.memory", "4g")
        .getOrCreate()
    )
    schema = ", ".join(f"{name} {kind.replace('VARCHAR', 'STRING')}" for name, kind in _TYPES.items())
    sales = spark.read.csv(f"{files}/sales/*/*.csv", header=True, schema=schema)
    customers, stores, products, team = (
        spark.read.csv(f"{files}/{source}/*/*.csv", header=True, inferSchema=True)
        for source in ("customers", "stores", "products", "sales_team")
    )
    fact = (
        sales.join(customers.select("customer_id", "pincode"), "customer_id", "left")
        .join(stores.select("store_id", "store_manager_name"), "store_id", "left")
        .join(
            products.select("product_id", "category", F.col("cost").alias("list_cost"), F.col("price").alias("list_price")),
            "product_id",
            "left",
        )
        .join(
            team.select("sales_person_id", "manager_id", F.concat_ws(" ", "first_name", "last_name").alias("seller")),
            "sales_person_id",
            "left",
        )
        .withColumn("price_variance", F.col("price") - F.col("list_price"))
    )
    fact.write.mode("overwrite").partitionBy("sales_date").parquet(f"{out}/fact")
    stored = spark.read.parquet(f"{out}/fact").withColumn("sales_month", F.trunc("sales_date", "month"))
    bought = stored.groupBy("customer_id", "sales_month").agg(
        F.sum("total_cost").alias("total_sales"), F.countDistinct("transaction_id").alias("purchases")
    )
    by_store = Window.partitionBy("store_id", "sales_month").orderBy(F.desc("total_sales"))
    sold = (
        stored.groupBy("store_id", "sales_person_id", "sales_month")
        .agg(F.first("seller").alias("full_name"), F.first("manager_id").alias("manager_id"), F.sum("total_cost").alias("total_sales"))
        .withColumn("place", F.rank().over(by_store))
        .withColumn(
            "incentive", F.when(F.col("place") == 1, F.round(F.col("total_sales") * F.lit("0.01").cast("decimal(3,2)"), 2)).otherwise(0)
        )
    )
    with sqlite3.connect(out / "marts.db") as database:
        for table, columns, rows in (("customer_mart", CUSTOMER_MART, bought), ("sales_team_mart", SALES_TEAM_MART, sold)):
            shown = rows.select(*[name.strip() for name in columns.split(",")])
            texts = shown.select(
                *[F.col(n).cast("string").alias(n) if n in ("sales_month", "total_sales", "incentive") else n for n in shown.columns]
            )
            texts.toPandas().to_sql(table, database, index=False)
    database.close()
    spark.stop()


SCRIPTS: dict[str, Callable[[Path, Path], None]] = {"duckdb": duckdb_script, "polars": polars_script, "pyspark": pyspark_script}

if __name__ == "__main__":
    SCRIPTS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
