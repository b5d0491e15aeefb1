"""Everything counted again: a difference at any level is found, named with its slice, and mended by the command that is named."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
import yaml
from click.testing import CliRunner

from salesmart_assets import contracts
from salesmart_assets.batch import reconcile, recount
from salesmart_assets.batch.platform import Platform
from salesmart_assets.cli import cli
from salesmart_assets.ledger.schema import ingest_file
from salesmart_assets_tests.batch.test_crash import DAY, STATE, copy_of
from salesmart_assets_tests.batches import HEADER, Batches, load, load_pending, tables

MONTH = "2026-08-01"
KEYED = f"{HEADER},transaction_id,line_number"
FIRST = ("1,121,bread,2026-08-01,1,2.50,2,5.00,t1,1", "2,121,oil,2026-08-02,2,10.00,1,10.00,t2,1", "x,1,tea,,,,,,,")
SECOND = ("1,121,bread,2026-08-01,1,2.50,2,5.00,t1,1", "3,122,oil,2026-08-01,1,10.00,3,30.00,,")


def prepare(batches: Batches, platform: Platform) -> None:
    """Two files of sales that share a line, and one of each other source; all is loaded."""
    for name, lines in (("a.csv", FIRST), ("b.csv", SECOND)):
        batches.land(platform, "\n".join([KEYED, *lines]) + "\n", "sales", DAY, name)
    for source, lines in STATE.items():
        batches.land(platform, "\n".join(lines) + "\n", source, DAY, f"{source}.csv")
    load_pending(platform)


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Batches:
    """An installation in which all of that is loaded."""
    batches = Batches(tmp_path_factory.mktemp("counted") / "home")
    with batches.platform() as platform:
        prepare(batches, platform)
    return batches


@pytest.fixture
def batches(counted: Batches, tmp_path: Path) -> Batches:
    """A copy of it."""
    return copy_of(counted, tmp_path)


def differences(platform: Platform) -> list[recount.Difference]:
    return [difference for level in recount.recount(platform) for difference in level.differences]


def spoil(platform: Platform, table: str, day: str, **changed: pl.Expr) -> None:
    """Put other rows in the place of a slice, as a fault in the code or on the disk would; without a change, none at all."""
    old = platform.lake.snapshot(table)
    column = platform.tables[table].partition_by[0]
    part = old.only(column, [day])
    folder = platform.lake.fresh()
    if changed:
        target = Path(platform.lake.uri(table), folder, f"{column}={day}", "rows.parquet")
        target.parent.mkdir(parents=True)
        rows = part.scan().with_columns(**changed).drop(column).collect().to_arrow()
        pq.write_table(rows.cast(platform.tables[table].file_schema), target)
    new = platform.lake.written(table, folder)
    with platform.ledger.writer.hold() as lease:
        platform.lake.committer(table).commit(old, new, part.files, slice_column=column, slices={day}, run_id="spoilt", lease=lease)


def test_totals_are_the_same_at_every_level(batches: Batches, platform: Platform) -> None:
    """Files, ledger, staging, fact, rollups, marts and database are counted again one by one, and agree to the cent."""
    levels = {level.name: level for level in recount.recount(platform)}
    assert [level.differences for level in levels.values()] == [[]] * 8
    assert levels["files"].totals == levels["staging"].totals
    assert (levels["files"].compared, levels["ledger"].compared) == (6, 6)
    assert levels["ledger"].totals.rows == 5 + sum(len(lines) - 1 for lines in STATE.values())
    assert levels["staging"].totals.money == Decimal("50.00")
    assert [levels[name].totals.money for name in ("fact", "rollups", "marts")] == [Decimal("45.00")] * 3
    assert levels["fact"].totals.rows == 3
    some = {level.name: level for level in recount.recount(platform, [date(2026, 8, 9)])}
    assert [some[name].compared for name in ("files", "ledger", "staging", "fact", "marts")] == [0] * 5
    platform.zone.delete(f"processed/sales/dt={DAY}/a.csv")
    (files, *rest) = recount.recount(platform)
    assert (files.compared, files.left_out, [level.differences for level in rest]) == (5, 1, [[]] * 7)


def test_what_differs_downstream_of_staging_is_named_and_mended(batches: Batches, platform: Platform) -> None:
    """A line, a sum or a slice that is not what the level before it says is named with its slice; the next run computes it anew."""
    right = tables(platform)
    cheaper = {"total_cost": pl.col("total_cost") - Decimal("0.01")}
    # From the end to the beginning: what follows from a stale slice is left out.
    for table, slice_, change, level in (
        ("sales_team_mart", MONTH, {"total_sales": pl.col("total_sales") * 2}, "marts"),
        ("manager_mart", MONTH, {"direct_sales": pl.col("direct_sales") - 1}, "marts"),
        ("daily_seller_sales", MONTH, {"units": pl.col("units") + 1}, "rollups"),
        ("daily_customer_sales", "2026-08-02", {}, "rollups"),
        ("fact_sales", MONTH, cheaper, "fact"),
        ("fact_sales", "2026-08-02", {"file_id": pl.lit(1), "source_row": pl.lit(1)}, "fact"),
    ):
        if table == "manager_mart":
            assert reconcile.teams_reconcile_with_fact(platform, date.fromisoformat(DAY)).passed
        spoil(platform, table, slice_, **change)
        if table == "manager_mart":
            said = reconcile.teams_reconcile_with_fact(platform, date.fromisoformat(DAY))
            assert not said.passed
            assert re.match(rf"direct_sales of {MONTH} adds up to -?\d+\.00, but the fact to \d+\.00 \(1 of 1 months\)\.", said.sentence)
        levels = list(recount.recount(platform, read_files=False))
        first = next(difference for each in levels for difference in each.differences)
        assert (first.level, first.slice.split()[-1], first.mend) == (level, slice_, recount.MEND), (table, first)
        assert recount.mark_stale(platform, levels) > 0
        assert differences(platform) == []
    load_pending(platform)
    assert tables(platform) == right
    spoil(platform, "fact_sales", MONTH)
    recount.mark_stale(platform, recount.recount(platform, read_files=False))
    load_pending(platform)
    assert tables(platform) == right
    assert differences(platform) == []


def test_what_differs_before_that_is_mended_by_a_rebuild(batches: Batches, platform: Platform) -> None:
    """A file's rows that are not staged, and counts that do not add up, are named with the file, and mended by rebuilding its batch."""
    spoil(platform, "rejected_rows", "sales")
    with platform.ledger.engine.begin() as connection:
        connection.execute(sa.update(ingest_file).where(ingest_file.c.key.like("%b.csv")).values(rows_accepted=7))
    staged = platform.lake.snapshot("stg_sales")
    (gone, *_) = [file for file in staged.files if file.value("sales_date") == "2026-08-02"]
    platform.lake.committer("stg_sales").commit(staged, [], [gone], slice_column="batch_date", slices={DAY}, run_id="spoilt", lease=None)
    found = [(d.level, d.slice.rsplit("/", 1)[-1], d.mend) for d in differences(platform) if d.level in ("ledger", "staging")]
    assert found == [("ledger", "b.csv", f"salesmart run --date {DAY}"), ("staging", "a.csv", f"salesmart run --date {DAY}")]
    load(platform, date.fromisoformat(DAY), rebuild=True)
    assert differences(platform) == []


def test_a_file_that_would_be_read_otherwise_now_is_named(batches: Batches, platform: Platform, tmp_path: Path) -> None:
    """When a contract has changed since a file was loaded, reading it again tells; its batch is to be rebuilt."""
    contract = yaml.safe_load((Path(contracts.__file__).parent / "sales.yaml").read_text("utf-8"))
    contract["columns"]["quantity"]["max"] = 2
    (tmp_path / "sales.yaml").write_text(yaml.safe_dump(contract), "utf-8")
    with Batches(batches.home, {"contracts": tmp_path}).platform() as stricter:
        (found,) = differences(stricter)
        assert (found.level, found.slice.rsplit("/", 1)[-1], found.mend) == ("files", "b.csv", f"salesmart run --date {DAY}")
        assert found.says == "2 rows, 1 clean, 1 rejected; the ledger noted 2, 2 and 0"


def test_what_differs_in_the_database_is_named_and_mended(tmp_path: Path, database_url: str) -> None:
    """A value, a row or a month that the database has otherwise than the lake is named, and the next run puts it right."""
    batches = Batches(tmp_path / "home", {"database_url": database_url})
    with batches.platform() as platform:
        prepare(batches, platform)
        right = tables(platform)
        with platform.marts.begin() as connection:
            connection.execute(sa.text("UPDATE sales_team_mart SET full_name = 'Eve' WHERE sales_person_id = 1"))
            connection.execute(sa.text("UPDATE manager_mart SET sales_month = '2020-01-01'"))
            connection.execute(sa.text("DELETE FROM dim_store"))
        levels = list(recount.recount(platform))
        found = {d.slice: d.says for level in levels for d in level.differences}
        assert found == {
            "dim_store all": "database against lake: 0 rows against 1",
            "manager_mart 2020-01-01": "database against lake: 1 rows against 0",
            "manager_mart 2026-08-01": "database against lake: 0 rows against 1",
            "sales_team_mart 2026-08-01": "database against lake: rows and sums are equal, but a value in some other column is not",
        }
        assert recount.mark_stale(platform, levels) == 4
        assert list(recount.recount(platform))[-1].left_out == 4
        load_pending(platform)
        assert tables(platform) == right
        assert differences(platform) == []


def test_reconcile_from_the_command_line(batches: Batches, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """`reconcile` ends with 0 where all agrees, else with 1 and a table of what differs, and marks that for the next run if asked to."""
    monkeypatch.setenv("SALESMART_HOME", str(batches.home))
    done = CliRunner().invoke(cli, ["reconcile"], catch_exceptions=False)
    assert (done.exit_code, "What differs" in done.stdout) == (0, False)
    assert "45.00" in done.stdout
    with platform.marts.begin() as connection:
        connection.execute(sa.text("DELETE FROM customer_mart"))
    done = CliRunner().invoke(cli, ["reconcile", "--ledger-only", "--json", "--mend", "--date", "2026-08"], catch_exceptions=False)
    assert done.exit_code == 1
    (row,) = json.loads(done.stdout)
    assert (row["level"], row["slice"], row["mend"]) == (
        "database",
        "customer_mart 2026-08-01",
        "salesmart reconcile --mend; salesmart run",
    )
    assert [item.slice for item in platform.ledger.pending("publication")] == ["customer_mart/2026-08-01"]
