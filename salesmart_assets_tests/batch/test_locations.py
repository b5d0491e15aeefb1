"""Sources from several buckets and prefixes: each object counts once, and what one bucket does costs no other."""

from __future__ import annotations

import shutil
import signal
import uuid
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from salesmart_assets import contracts
from salesmart_assets.batch import landing, locations, reconcile, rejections, replay
from salesmart_assets.batch.platform import Platform
from salesmart_assets.errors import Unreachable, UsageError
from salesmart_assets.faultpoints import VARIABLE
from salesmart_assets.ledger.schema import source_location
from salesmart_assets_tests.batch.test_crash import run_child
from salesmart_assets_tests.batches import HEADER, Batches, accounted, load, load_pending, tables

DAY = "2026-08-01"
NORTH, SOUTH, TILLS = "s3://north/drop/sales/", "s3://north/other/", "s3://tills/x"
BUCKETS = ("salesmart", "north", "tills")
CUSTOMERS = "customer_id,first_name,last_name,address,pincode,phone_number,customer_joining_date"


def sales(*customers: int) -> str:
    return "\n".join([HEADER, *(f"{n},121,bread,2026-07-31,1,2.50,2,5.00" for n in customers)]) + "\n"


def buyers(platform: Platform) -> list[int]:
    """Who bought, by the fact; once for each line."""
    return sorted(row["customer_id"] for row in tables(platform, ["fact_sales"])["fact_sales"])


def keys(platform: Platform, bucket: str) -> list[str]:
    return [o.key for o in platform.zone.list_any("", bucket=bucket)]


def folder(platform: Platform, bucket: str) -> Path:
    return platform.settings.root / "s3" / bucket


def test_a_new_bucket_is_read_without_a_restart(batches: Batches, platform: Platform) -> None:
    """A source lands in several buckets and prefixes; one that is added is read by the next look and the next run, with no restart."""
    batches.land(platform, sales(1), "sales", DAY, "a.csv")
    load_pending(platform)
    for address in (NORTH, SOUTH, TILLS):
        locations.add(platform, "sales", address, None)
    batches.land(platform, sales(2), "sales", DAY, "a.csv", to=NORTH)
    batches.land(platform, sales(3, 3), "sales", DAY, "a.csv", to=SOUTH)
    batches.land(platform, sales(4), "sales", "2026-08-02", "a.csv", to=TILLS)
    pending = landing.look(platform)
    assert {str(day): batch.new_objects for day, batch in pending.batches.items()} == {DAY: 2, "2026-08-02": 1}
    load_pending(platform)
    assert buyers(platform) == [1, 2, 3, 3, 4]
    assert accounted(platform)
    assert keys(platform, "tills") == ["processed/sales/dt=2026-08-02/a.csv"]
    names = {key.removeprefix("processed/sales/dt=2026-08-01/") for key in keys(platform, "north")}
    assert len(names) == 2, "a name that comes from two places is kept apart"
    assert "a.csv" in names
    before = tables(platform)
    load(platform, date.fromisoformat(DAY), rebuild=True)
    assert tables(platform) == before, "a rebuild reads each file in the bucket where it is"
    assert reconcile.every_location_answers(platform).passed


REFUSED = (
    ("s3://salesmart/landing/", "overlaps s3://salesmart/landing/sales/"),
    ("s3://salesmart/landing/stores/north", "overlaps s3://salesmart/landing/stores/"),
    ("s3://salesmart/landing/stores", "overlaps s3://salesmart/landing/stores/, where stores lands"),
    ("s3://north/drop", "overlaps s3://north/drop/sales/"),
    ("s3://north/drop/sales/dt=2026-08-01", "overlaps s3://north/drop/sales/"),
    ("s3://new", "overlaps s3://new/processed/, where finished objects"),
    ("s3://new/error/sales", "overlaps s3://new/error/, where finished objects"),
    ("s3://My_Bucket/x", "no name of a bucket"),
    ("s3://a..b/x", "no name of a bucket"),
    ("s3://ab/x", "no name of a bucket"),
    ("s3:///x", "write it as s3://BUCKET/PREFIX"),
    ("/srv/tills", "write it as s3://BUCKET/PREFIX"),
    (f"s3://new/{'x' * 600}", "longer than 512"),
)


def test_a_place_that_would_count_an_object_twice_is_refused(platform: Platform) -> None:
    """A location inside another, around one, over the archive, or with a name that no bucket has, is refused; nothing changes."""
    locations.add(platform, "sales", NORTH, None)
    before = locations.locations_of(platform)
    for address, why in REFUSED:
        with pytest.raises(UsageError) as caught:
            locations.add(platform, "customers", address, None)
        assert why in str(caught.value)
        assert locations.locations_of(platform) == before
    assert not folder(platform, "new").exists()


def test_the_lake_is_no_landing_zone(tmp_path: Path, batches: Batches) -> None:
    """Where the tables are, nothing lands."""
    with batches.platform() as platform:
        on_s3 = Platform(platform.settings.model_copy(update={"lake": "s3://north/lake"}), given_zone=lambda: platform.zone)
        with pytest.raises(UsageError, match=r"overlaps s3://north/lake/stg_sales/, where the lake is"):
            locations.add(on_s3, "sales", "s3://north/lake/stg_sales", None)
        on_s3.close()


def test_what_the_table_says_by_hand_is_judged_as_well(batches: Batches, platform: Platform) -> None:
    """Rows that somebody wrote into the table are used; of two that overlap the later is not, is told, and stops nothing else."""
    with platform.ledger.engine.begin() as connection:
        for source, prefix in (("sales", "/drop"), ("sales", "drop/more/"), ("sales", "drop"), ("tills", "tills/")):
            row = {"source": source, "bucket": "north", "prefix": prefix, "active": True, "added_at": sa.func.now()}
            connection.execute(sa.insert(source_location).values(**row))
    folder(platform, "north").mkdir(parents=True)
    batches.land(platform, sales(1), "sales", DAY, "a.csv", to="s3://north/drop")
    platform.zone.client.put_object(Bucket="north", Key=f"drop/more/dt={DAY}/b.csv", Body=sales(2).encode())
    pending = landing.look(platform)
    assert pending.new_objects == 2
    assert ["drop/more/ (sales) is not read: it overlaps" in pending.faults[0], "no source tills" in pending.faults[1]] == [True, True]
    assert "2 of 8 locations" in reconcile.every_location_answers(platform).sentence
    load_pending(platform)
    assert buyers(platform) == [1, 2]


def test_a_disabled_location_is_left_alone(batches: Batches, platform: Platform) -> None:
    """What a disabled location had delivered stays, and is rebuilt; what waits in it is read when it is enabled again, and not before."""
    locations.add(platform, "sales", NORTH, None)
    batches.land(platform, sales(1), "sales", DAY, "loaded.csv", to=NORTH)
    batches.land(platform, sales(2), "sales", DAY, "own.csv")
    load_pending(platform)
    batches.land(platform, sales(3), "sales", DAY, "entered.csv", to=NORTH)
    load(platform, date.fromisoformat(DAY), until="raw_sales")
    batches.land(platform, sales(4), "sales", DAY, "new.csv", to=NORTH)
    locations.switch(platform, "sales", NORTH, active=False)
    with pytest.raises(UsageError, match="no active location of sales"):
        locations.landing_place(platform, "sales", NORTH)
    assert landing.look(platform).batches == {}
    batches.land(platform, sales(5), "sales", DAY, "later.csv")
    load_pending(platform)
    assert buyers(platform) == [1, 2, 5]
    assert reconcile.unread(platform, date.fromisoformat(DAY)) == []
    before = tables(platform)
    load(platform, date.fromisoformat(DAY), rebuild=True)
    assert tables(platform) == before
    assert len(keys(platform, "north")) == 3, "what waits is where it was"
    locations.switch(platform, "sales", NORTH, active=True)
    load_pending(platform)
    assert buyers(platform) == [1, 2, 3, 4, 5]
    assert {f.status for f in platform.ledger.files()} == {"I"}


def test_the_landing_zone_of_the_settings_can_be_disabled(batches: Batches, platform: Platform) -> None:
    """The places of SALESMART_LANDING are locations like others: disabled, they are not read, and mended rows land elsewhere, once."""
    batches.land(platform, sales(1) + "x,121,tea,2026-07-31,1,2.50,2,5.00\n", "sales", DAY, "a.csv")
    load_pending(platform)

    def mended(number: int) -> replay.TakenBack:
        out = platform.settings.root / "mend.csv"
        replay.write_out(platform, out, rejections.rejected_rows(platform, replayed=True).to_dicts())
        out.write_text(out.read_text("utf-8").replace('"x"', f'"{number}"'), "utf-8")
        return replay.take_back(platform, out)

    mended(7)
    load_pending(platform)
    assert buyers(platform) == [1, 7]
    own = "s3://salesmart/landing/sales"
    locations.switch(platform, "sales", own, active=False)
    with pytest.raises(UsageError, match="sales has no active location"):
        locations.landing_place(platform, "sales")
    locations.add(platform, "sales", NORTH, None)
    assert mended(8).landed == (f"{NORTH}dt={DAY}/replay/{platform.ledger.file(1).identity}.jsonl",)
    folder(platform, "salesmart").joinpath("landing/sales").mkdir(parents=True)
    folder(platform, "salesmart").joinpath("landing/sales/b.csv").write_text(sales(2))
    load_pending(platform)
    assert buyers(platform) == [1, 8], "the later replay stands for the earlier one, wherever it landed"
    locations.add(platform, "sales", own, None)
    load_pending(platform)
    assert buyers(platform) == [1, 2, 8]


def test_a_missing_bucket_stops_nothing_else(batches: Batches, platform: Platform) -> None:
    """A bucket that is missing is told by the look, the run and a check; all others are read, and it is too when it is back."""
    for source, address in (("sales", NORTH), ("customers", "s3://crm/customers")):
        locations.add(platform, source, address, None)
    batches.land(platform, sales(1), "sales", DAY, "a.csv", to=NORTH)
    load(platform, date.fromisoformat(DAY), until="raw_sales")
    batches.land(platform, sales(2), "sales", DAY, "b.csv", to=NORTH)
    batches.land(platform, sales(3), "sales", DAY, "c.csv")
    away = platform.settings.root / "s3" / "away"
    folder(platform, "north").rename(away)
    pending = landing.look(platform)
    assert [str(day) for day in pending.batches] == [DAY]
    assert len(pending.faults) == 1
    assert "s3://north/drop/sales failed: the bucket does not exist" in pending.faults[0]
    load(platform, date.fromisoformat(DAY))
    assert buyers(platform) == [3]
    assert [f.key.rsplit("/", 1)[-1] for f in reconcile.unread(platform, date.fromisoformat(DAY))] == ["a.csv"]
    found = reconcile.every_location_answers(platform)
    assert not found.passed
    assert "1 of 7 locations can't be looked at" in found.sentence
    away.rename(folder(platform, "north"))
    load_pending(platform)
    assert buyers(platform) == [1, 2, 3]
    assert reconcile.every_location_answers(platform).passed
    shutil.rmtree(folder(platform, "north"))
    shutil.rmtree(folder(platform, "crm"))
    shutil.rmtree(folder(platform, "salesmart"))
    with pytest.raises(Unreachable, match="bucket does not exist"):
        landing.look(platform)


def test_nobody_has_left_while_a_bucket_is_missing(tmp_path: Path) -> None:
    """While one of a snapshot's buckets can't be looked at, nobody who is absent from the others has left; they have when it is back."""
    (tmp_path / "contracts").mkdir()
    contract = yaml.safe_load((Path(contracts.__file__).parent / "customers.yaml").read_text("utf-8"))
    (tmp_path / "contracts" / "customers.yaml").write_text(yaml.safe_dump({**contract, "delivery": "snapshot"}), "utf-8")
    batches = Batches(tmp_path / "home", {"contracts": tmp_path / "contracts"})

    def customers(*numbers: int) -> str:
        return "\n".join([CUSTOMERS, *(f"{n},Cleo,Fox,Road 7,10001,555,2020-01-01" for n in numbers)]) + "\n"

    def gone() -> list[int]:
        rows = tables(platform, ["dim_customer"])["dim_customer"]
        return sorted(row["customer_id"] for row in rows if row["is_current"] and row["is_deleted"])

    with batches.platform() as platform:
        locations.add(platform, "customers", "s3://crm/customers", None)
        batches.land(platform, customers(1), "customers", "2026-07-31", "a.csv")
        batches.land(platform, customers(2, 3), "customers", "2026-07-31", "b.csv", to="s3://crm/customers")
        load_pending(platform)
        away = platform.settings.root / "s3" / "away"
        folder(platform, "crm").rename(away)
        batches.land(platform, customers(1), "customers", DAY, "a.csv")
        load_pending(platform)
        assert gone() == []
        away.rename(folder(platform, "crm"))
        load_pending(platform)
        assert gone() == [2, 3], "it is back, and brought nothing for that day"
        batches.land(platform, customers(3), "customers", DAY, "b.csv", to="s3://crm/customers")
        load_pending(platform)
        assert gone() == [2]


def test_the_format_hint_decides_what_the_content_leaves_open(batches: Batches, platform: Platform) -> None:
    """Where the content does not tell the format, the location's hint does; where it does, it counts whatever the hint."""
    for hint in ("json", "csv"):
        locations.add(platform, "sales", f"s3://tills/{hint}", hint)
    row = '{"customer_id": 1, "store_id": 121, "product_name": "tea", "sales_date": "2026-07-31", "sales_person_id": 1, '
    row += '"price": 1.5, "quantity": 2, "total_cost": 3}'
    for hint in ("json", "csv"):
        batches.land(platform, f"garbage of {hint}\n{row}\n", "sales", DAY, "open.csv", to=f"s3://tills/{hint}")
        batches.land(platform, sales(2 if hint == "json" else 3), "sales", DAY, "table.dat", to=f"s3://tills/{hint}")
    load_pending(platform)
    found = {(f.key.split("/")[0], f.key.rsplit("/", 1)[-1]): (f.format, f.outcome, f.rows_accepted) for f in platform.ledger.files()}
    assert found == {
        ("json", "open.csv"): ("json", "loaded", 1),
        ("csv", "open.csv"): ("csv", "rejected", 0),
        ("json", "table.dat"): ("csv", "loaded", 1),
        ("csv", "table.dat"): ("csv", "loaded", 1),
    }


def test_a_crash_over_two_buckets_is_repaired(tmp_path: Path) -> None:
    """Killed between two buckets, a run is finished by the next one: each object counts once, and is archived in its own bucket."""
    batches = Batches(tmp_path / "home")
    with batches.platform() as platform:
        for address in (NORTH, TILLS):
            locations.add(platform, "sales", address, None)
        for number, address in enumerate((None, NORTH, TILLS)):
            batches.land(platform, sales(number), "sales", DAY, f"{uuid.uuid4().hex}.csv", to=address)
        died = run_child(batches, DAY, **{VARIABLE: "files.archived"})
        assert died.returncode == -signal.SIGKILL, died.stderr
        moved = sum(key.startswith("processed/") for bucket in BUCKETS for key in keys(platform, bucket))
        assert moved == 1
        load_pending(platform)
        assert buyers(platform) == [0, 1, 2]
        assert {f.status for f in platform.ledger.files()} == {"I"}
        assert accounted(platform)
        for bucket in BUCKETS:
            assert [key.split("/")[0] for key in keys(platform, bucket)] == ["processed"]


def test_what_lies_under_the_landing_prefix_and_is_read_is_no_stray(batches: Batches, platform: Platform) -> None:
    """A location under the landing prefix beside the sources' folders is read, and no longer told as a folder that nobody reads."""
    stray = f"landing/tills/dt={DAY}/a.csv"
    platform.zone.client.put_object(Bucket="salesmart", Key=stray, Body=sales(1).encode())
    assert landing.look(platform).strays == ("s3://salesmart/landing/tills/",)
    locations.add(platform, "sales", "s3://salesmart/landing/tills", None)
    pending = landing.look(platform)
    assert (pending.strays, pending.new_objects) == ((), 1)
