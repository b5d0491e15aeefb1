"""What is audited before a commit: a value that changes between computing and committing never becomes part of a table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from salesmart_assets.batch import reconcile
from salesmart_assets.batch.platform import Platform
from salesmart_assets.contracts.tables import DIMENSIONS
from salesmart_assets.errors import AuditFailed
from salesmart_assets.lake import engine
from salesmart_assets.lake.writer import PartitionWriter
from salesmart_assets_tests.batches import HEADER, Batches, load, load_pending

DAY = "2026-08-01"
DATE = date.fromisoformat(DAY)
SALES = (
    f"{HEADER},transaction_id,line_number",
    "1,121,bread,2026-07-31,1,2.50,2,5.00,a,1",
    "1,121,bread,2026-07-31,1,2.50,2,5.00,a,1",
    "2,121,oil,2026-08-01,2,10.00,1,10.00,b,1",
    "2,121,tea,2026-08-01,1,3.00,3,9.00,b,2",
)
COPIED = (SALES[0], SALES[3], "9,122,salt,2026-08-01,7,1.00,1,1.00,c,1")
STATE = {
    "customers": (
        "customer_id,first_name,last_name,address,pincode,phone_number,customer_joining_date",
        "1,Cleo,Fox,Road 7,10001,555,2020-01-01",
        "2,Dan,Ray,Road 8,10001,556,2020-01-01",
    ),
    "stores": ("store_id,address,store_pincode,store_manager_name,store_opening_date", "121,Road 1,10001,Bob,2010-01-01"),
    "products": (
        "product_id,name,category,price,cost,stock_on_hand,expiry_date,effective_date",
        "1,bread,food,2.50,1.00,7,2030-01-01,2026-01-01",
        "1,bread,food,2.75,1.00,7,2030-01-01,2026-03-01",
        "1,bread,food,3.00,1.00,7,2030-01-01,2026-06-01",
        "2,oil,food,9.00,4.00,0,2030-01-01,2026-01-01",
    ),
    "sales_team": (
        "sales_person_id,first_name,last_name,manager_id,is_manager,store_id,address,pincode,joining_date",
        "1,Ann,Hill,2,false,121,Road 1,10001,2020-01-01",
        "2,Bob,Lake,,true,121,Road 2,10002,2019-01-01",
    ),
}
Tampering = Callable[[pl.DataFrame], pl.DataFrame]


def content(lines: tuple[str, ...]) -> str:
    return "\n".join(lines) + "\n"


def land(batches: Batches, platform: Platform) -> None:
    """A batch of all sources; its two sales files share a line."""
    batches.land(platform, content(SALES), "sales", DAY, "a.csv")
    batches.land(platform, content(COPIED), "sales", DAY, "b.csv")
    for source, lines in STATE.items():
        batches.land(platform, content(lines), source, DAY, f"{source}.csv")


def tamper(monkeypatch: pytest.MonkeyPatch, table: str, how: Tampering) -> None:
    """Whatever is written for the table is changed behind the engine's back, before anybody looks at it."""

    def write(frame, written, table_uri, folder):
        engine_write(frame, written, table_uri, folder)
        if written.name == table:
            for path in sorted(Path(table_uri, folder).rglob("*.parquet")):
                rows = pl.read_parquet(path, hive_partitioning=False)
                how(rows).cast(dict(rows.schema)).write_parquet(path)

    engine_write = engine.write
    monkeypatch.setattr(engine, "write", write)


def first(column: str, value: pl.Expr) -> Tampering:
    """The first row with another value in a column; engines write rows in any order."""
    return lambda rows: (
        rows.sort([name for name in ("file_id", "source_row") if name in rows.columns] or rows.columns[:1])
        .with_row_index("_n")
        .with_columns(pl.when(pl.col("_n") == 0).then(value).otherwise(column).alias(column))
        .drop("_n")
    )


def refused(batches: Batches, platform: Platform, table: str, complaint: str, monkeypatch: pytest.MonkeyPatch, how: Tampering) -> None:
    """A batch whose files for the table are tampered with is refused, and the table stays as it is; the next run repairs all."""
    land(batches, platform)
    version = platform.lake.snapshot(table).version
    with monkeypatch.context() as patched:
        tamper(patched, table, how)
        with pytest.raises(AuditFailed, match=complaint):
            load(platform, DATE)
    assert platform.lake.snapshot(table).version == version
    assert platform.publisher.published() == {}
    load_pending(platform)
    assert platform.lake.snapshot(table).rows
    assert {f.status for f in platform.ledger.files()} == {"I"}


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        (
            first("total_cost", pl.col("total_cost") + Decimal("0.01")),
            r"4 units, 10\.00 staged for 2026-07-31, but 1 row, 2 units, 5\.01 were computed",
        ),
        (first("quantity", pl.col("quantity") + 1), "1 row, 3 units, 5.00 were computed"),
        (lambda rows: pl.concat([rows, rows.head(1)]), "2 rows, 4 units, 10.00 were computed and 1 row, 2 units, 5.00 are duplicates"),
        (lambda rows: rows.clear(), "but 0 rows, 0 units, 0.00 were computed"),
        (first("file_id", pl.lit(77)), "2 files on 2 dates differ"),
        *((first(f"{d.removeprefix('dim_')}_key", pl.lit(12345)), f"{d.removeprefix('dim_')}_key 12345") for d in DIMENSIONS),
    ],
    ids=["money", "units", "doubled", "lost", "file", *DIMENSIONS],
)
def test_the_fact_is_audited(batches: Batches, platform: Platform, monkeypatch: pytest.MonkeyPatch, how: Tampering, complaint: str) -> None:
    """A line that is lost, doubled or changed by a cent on its way into the fact stops the commit; so does a key that no dimension has."""
    refused(batches, platform, "fact_sales", complaint, monkeypatch, how)


@pytest.mark.parametrize("dimension", ["dim_customer", "dim_product"])
@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        (lambda rows: pl.concat([rows, rows.tail(1)]), "the key .* is not unique"),
        (first("is_current", ~pl.col("is_current")), "not one current version"),
        (first("valid_to", pl.coalesce("valid_to", pl.col("valid_from")) + timedelta(1)), "overlap or leave gaps"),
    ],
    ids=["twice", "current", "gap"],
)
def test_dimensions_are_audited(
    batches: Batches, platform: Platform, monkeypatch: pytest.MonkeyPatch, dimension: str, how: Tampering, complaint: str
) -> None:
    """A dimension with a key twice, no or two current versions of a member, or versions that overlap or leave gaps: not committed."""
    refused(batches, platform, dimension, complaint, monkeypatch, how)


def test_who_is_not_delivered_does_not_change(batches: Batches, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dimension is brought up to date by the members that are delivered; were another to change with them, nothing is committed."""
    land(batches, platform)
    load_pending(platform)
    version = platform.lake.snapshot("dim_customer").version
    later = DATE + timedelta(1)
    batches.land(platform, content((STATE["customers"][0], "1,Cleo,Fox,Road 9,10001,555,2020-01-01")), "customers", str(later), "c.csv")

    def mistaken(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.when(pl.col("customer_id") == 2).then(pl.lit("Road 1")).otherwise("address").alias("address"))

    with monkeypatch.context() as patched:
        tamper(patched, "dim_customer", mistaken)
        with pytest.raises(AuditFailed, match="members would change of which nothing was delivered"):
            load(platform, later)
    assert platform.lake.snapshot("dim_customer").version == version
    load_pending(platform)
    addresses = platform.lake.snapshot("dim_customer").scan().sort("customer_id").select("address").collect()["address"]
    assert addresses.to_list() == ["Road 9", "Road 8"]


@pytest.mark.parametrize(
    ("mart", "column"),
    [("customer_mart", "total_sales"), ("sales_team_mart", "total_sales"), ("manager_mart", "direct_sales")],
)
def test_marts_are_audited(batches: Batches, platform: Platform, monkeypatch: pytest.MonkeyPatch, mart: str, column: str) -> None:
    """A mart that is a cent off the fact is not committed."""
    refused(batches, platform, mart, f"{column} .* adds up to", monkeypatch, first(column, pl.col(column) + Decimal("0.01")))


def test_the_checks_see_what_the_audits_saw(batches: Batches, platform: Platform) -> None:
    """Each file's rows, units and money in staging are shown against the fact and the duplicates; every key exists."""
    land(batches, platform)
    load_pending(platform)
    found = reconcile.control_totals_agree(platform, DATE)
    assert found.passed, found.sentence
    assert found.sentence == "2 files: 6 rows, 10 units, 40.00 read and staged, all of it in the fact or duplicate."
    assert found.facts["files"] == [
        {
            "file": "landing/sales/dt=2026-08-01/a.csv",
            "read": "4 rows, 8 units, 29.00",
            "staged": "4 rows, 8 units, 29.00",
            "fact": "2 rows, 5 units, 14.00",
            "duplicates": "2 rows, 3 units, 15.00",
        },
        {
            "file": "landing/sales/dt=2026-08-01/b.csv",
            "read": "2 rows, 2 units, 11.00",
            "staged": "2 rows, 2 units, 11.00",
            "fact": "2 rows, 2 units, 11.00",
            "duplicates": "0 rows, 0 units, 0.00",
        },
    ]
    assert reconcile.every_key_exists(platform, DATE).sentence == "4 lines of 2 sale dates: each key is in its dimension, or -1."
    assert reconcile.fact_reconciles_with_staging(platform, DATE).passed


@pytest.mark.parametrize(
    ("how", "fails"),
    [
        (first("total_cost", pl.col("total_cost") + Decimal("0.01")), {"control_totals_agree"}),
        (first("store_key", pl.lit(12345)), {"every_key_exists"}),
        (lambda rows: rows.clear(), {"control_totals_agree"}),
    ],
    ids=["money", "key", "lost"],
)
def test_the_checks_see_what_is_changed_later(batches: Batches, platform: Platform, how: Tampering, fails: set[str]) -> None:
    """What is changed in the fact's files after their commit is seen by the checks."""
    land(batches, platform)
    load_pending(platform)
    facts = platform.lake.snapshot("fact_sales").only("sales_date", [DAY])
    for file in facts.files:
        path = Path(facts.uri, file.path)
        how(rows := pl.read_parquet(path, hive_partitioning=False)).cast(dict(rows.schema)).write_parquet(path)
    assert {name for name in ("control_totals_agree", "every_key_exists") if not getattr(reconcile, name)(platform, DATE).passed} == fails


def test_stale_sale_dates_are_left_out(batches: Batches, platform: Platform) -> None:
    """A sale date for which another batch has just staged lines is not held against the fact of before: it is about to be recomputed."""
    land(batches, platform)
    load_pending(platform)
    batches.land(platform, content((HEADER, "1,121,bread,2026-08-01,1,2.50,2,5.00")), "sales", "2026-08-02", "late.csv")
    load(platform, DATE + timedelta(1), until="stg_sales")
    for check in (reconcile.fact_reconciles_with_staging, reconcile.control_totals_agree, reconcile.every_key_exists):
        found = check(platform, DATE)
        assert found.passed
        assert "1 more are about to be recomputed." in found.sentence


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        (first("total_cost", pl.col("total_cost") + Decimal("0.01")), r"units, 29\.00 were read, but .* units, 29\.01 were written"),
        (first("quantity", pl.col("quantity") + 1), "8 units, 29.00 were read, but .* 9 units, 29.00 were written"),
    ],
    ids=["money", "units"],
)
def test_staging_is_audited(batches: Batches, platform: Platform, monkeypatch: pytest.MonkeyPatch, how: Tampering, complaint: str) -> None:
    """A file whose units or money are written otherwise than they were read is not staged."""
    batches.land(platform, content(SALES), "sales", DAY, "a.csv")
    write = PartitionWriter.write

    def changed(writer: PartitionWriter, rows: pa.Table, *chosen: Any) -> None:
        """The rows on their way to the file, changed as by a fault of the writer."""
        made = how(pl.from_arrow(rows)) if "quantity" in rows.column_names else None
        write(writer, rows if made is None else made.to_arrow().cast(rows.schema), *chosen)

    with monkeypatch.context() as patched:
        patched.setattr(PartitionWriter, "write", changed)
        with pytest.raises(AuditFailed, match=complaint):
            load(platform, DATE)
    assert platform.lake.snapshot("stg_sales").rows == 0
    load_pending(platform)
    (file,) = platform.ledger.files()
    assert (file.status, file.control_sums) == ("I", '{"quantity": "8", "total_cost": "29.00"}')
