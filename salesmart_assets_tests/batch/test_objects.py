"""Objects that change, come twice or go away: each row counts once, from the newest content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from salesmart_assets.batch import landing
from salesmart_assets.batch.doctor import ledger_part
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Run
from salesmart_assets.errors import SourceFileGone, UsageError
from salesmart_assets_tests.batches import HEADER, Batches, accounted, load, load_pending, tables

DAY = "2026-08-01"
BREAD = "1,121,bread,2026-07-31,1,2.50,2,5.00"
OIL = "2,121,oil,2026-08-01,2,10.00,1,10.00"
TEA = "3,121,tea,2026-08-01,2,1.00,3,3.00"
KEYED = f"{HEADER},transaction_id,line_number"


def content(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def sold(platform: Platform) -> list[str]:
    """What was sold, by the fact."""
    return sorted(row["product_name"] for row in tables(platform, ["fact_sales"])["fact_sales"])


def outcomes(platform: Platform) -> dict[str, list[str | None]]:
    """The outcomes of the files by name, oldest first."""
    found: dict[str, list[str | None]] = {}
    for file in platform.ledger.files():
        found.setdefault(file.key.rsplit("/", 1)[-1], []).append(file.outcome)
    return found


def test_overwritten_between_runs(batches: Batches, platform: Platform) -> None:
    """An overwritten object replaces its old rows in one commit: no version of the table has both, or neither."""
    batches.land(platform, content(BREAD, OIL), "sales", DAY, "a.csv")
    load_pending(platform)
    before = platform.lake.snapshot("stg_sales").version
    batches.land(platform, content(BREAD, TEA, TEA), "sales", DAY, "a.csv")
    load_pending(platform)
    after = platform.lake.snapshot("stg_sales").version
    assert [platform.lake.snapshot("stg_sales", v).rows for v in range(before, after + 1)] == [2, 3]
    assert sold(platform) == ["bread", "tea", "tea"]
    assert outcomes(platform) == {"a.csv": ["superseded", "loaded"]}


def test_deleted_before_it_was_read(batches: Batches, platform: Platform) -> None:
    """An object that is deleted before it is read is set aside with a reason; the others go on."""
    gone = batches.land(platform, content(BREAD), "sales", DAY, "gone.csv")
    batches.land(platform, content(OIL), "sales", DAY, "stays.csv")
    load(platform, date.fromisoformat(DAY), until="raw_sales")
    platform.zone.delete(gone)
    load_pending(platform)
    assert sold(platform) == ["oil"]
    file = next(f for f in platform.ledger.files() if f.key == gone)
    assert (file.status, file.outcome) == ("I", "rejected")
    assert file.reason is not None
    assert file.reason.startswith("file.gone: ")


def test_growing(batches: Batches, platform: Platform) -> None:
    """An object that grew after it was listed is never read in part: what is there at the next look counts, once."""
    batches.land(platform, content(BREAD), "sales", DAY, "a.csv")
    load(platform, date.fromisoformat(DAY), until="raw_sales")
    batches.land(platform, content(BREAD, OIL), "sales", DAY, "a.csv")
    load_pending(platform)
    assert sold(platform) == ["bread", "oil"]
    assert accounted(platform)
    assert outcomes(platform)["a.csv"][-1] == "loaded"


@contextmanager
def undated(batches: Batches) -> Iterator[tuple[Platform, Path]]:
    """An installation that leaves objects where they land, and the file of a key without a date."""
    with Batches(batches.home, {"archive": "never"}).platform() as platform:
        platform.zone.check()
        path = batches.home / "s3" / "salesmart" / "landing" / "sales" / "latest.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        yield platform, path


def put(path: Path, text: str, when: datetime) -> None:
    path.write_text(text, "utf-8")
    os.utime(path, (when.timestamp(), when.timestamp()))


def test_one_undated_key_delivered_daily(batches: Batches) -> None:
    """A key without a date that is rewritten every day is a new delivery each day; rewritten on the same day it supersedes."""
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=30, microsecond=0)
    with undated(batches) as (platform, path):
        put(path, content(BREAD), today - timedelta(days=2))
        load_pending(platform)
        put(path, content(OIL), today - timedelta(days=1))
        load_pending(platform)
        assert sold(platform) == ["bread", "oil"]
        put(path, content(TEA), today - timedelta(days=1) + timedelta(hours=1))
        load_pending(platform)
        assert sold(platform) == ["bread", "tea"]
        assert outcomes(platform) == {"latest.csv": ["loaded", "superseded", "loaded"]}


def test_a_copy_counts_once_and_takes_over(batches: Batches, platform: Platform) -> None:
    """The same content under another key is a duplicate while the first is live; when that is superseded, the copy is loaded."""
    batches.land(platform, content(BREAD, OIL), "sales", DAY, "first.csv")
    load_pending(platform)
    batches.land(platform, content(BREAD, OIL), "sales", "2026-08-02", "copy.csv")
    load_pending(platform)
    assert sold(platform) == ["bread", "oil"]
    assert outcomes(platform) == {"first.csv": ["loaded"], "copy.csv": ["duplicate"]}
    assert [f.rows_duplicate for f in platform.ledger.files()] == [0, 2]
    batches.land(platform, content(TEA), "sales", DAY, "first.csv")
    load_pending(platform)
    assert sold(platform) == ["bread", "oil", "tea"]
    assert outcomes(platform) == {"first.csv": ["superseded", "loaded"], "copy.csv": ["loaded"]}
    assert accounted(platform)


def test_state_may_repeat(batches: Batches, platform: Platform) -> None:
    """State sources may repeat content: A, B, A again is three deliveries, and the last one holds."""
    header = "store_id,address,store_pincode,store_manager_name,store_opening_date\n"
    for day, manager in (("2026-08-01", "Ann"), ("2026-08-02", "Bob"), ("2026-08-03", "Ann")):
        batches.land(platform, f"{header}121,Road 1,10001,{manager},2010-01-01\n", "stores", day, "s.csv")
        load_pending(platform)
    assert {f.outcome for f in platform.ledger.files()} == {"loaded"}
    current = [row for row in tables(platform, ["dim_store"])["dim_store"] if row["is_current"]]
    assert [row["store_manager_name"] for row in current] == ["Ann"]


NAMES = ("a.csv", "A.csv", "\u00e4.csv", "a\u0308.csv", "a.csv ", "\u00df.csv", "ss.csv")


def test_names_that_look_alike_are_different_files(tmp_path: Path, database_url: str) -> None:
    """Two files whose keys differ only in case, accents or trailing blanks are two files, on every database."""
    batches = Batches(tmp_path / "home", {"database_url": database_url})
    with batches.platform() as platform:
        for number, name in enumerate(NAMES):
            batches.land(platform, content(f"{number},121,bread,2026-07-31,1,2.50,2,5.00"), "sales", DAY, name)
        load_pending(platform)
        assert sorted(f.key.rsplit("/", 1)[-1] for f in platform.ledger.files()) == sorted(NAMES)
        assert {f.outcome for f in platform.ledger.files()} == {"loaded"}
        assert len(sold(platform)) == len(NAMES)


@pytest.mark.parametrize("order", [("early", "late"), ("late", "early")])
def test_the_winner_of_row_duplicates(batches: Batches, platform: Platform, order: tuple[str, str]) -> None:
    """Of rows with one business key the same wins in any order of arrival; the loser's file counts it, also when the winner comes later."""
    days = {"early": "2026-08-01", "late": "2026-08-02"}
    rows = {"early": f"{BREAD},t1,1", "late": f"{BREAD.replace('bread', 'roll')},t1,1"}
    for name in order:
        batches.land(platform, content(rows[name], f"{OIL},,", header=KEYED), "sales", days[name], f"{name}.csv")
        load_pending(platform)
    assert sold(platform) == ["oil", "oil", "roll"]
    counts = {f.key.rsplit("/", 1)[-1]: (f.rows_accepted, f.rows_duplicate) for f in platform.ledger.files()}
    assert counts == {"early.csv": (1, 1), "late.csv": (2, 0)}
    assert accounted(platform)


def test_a_rebuild_reads_where_the_object_is_now(batches: Batches, platform: Platform) -> None:
    """A rebuild reads from where the ledger says the object is now, and gives the same tables."""
    batches.land(platform, content(BREAD, OIL, "bad"), "sales", DAY, "a.csv")
    load_pending(platform)
    assert [o.key for o in platform.zone.list_any("")] == ["processed/sales/dt=2026-08-01/a.csv"]
    before = tables(platform)
    load(platform, date.fromisoformat(DAY), rebuild=True)
    assert tables(platform) == before
    assert outcomes(platform) == {"a.csv": ["loaded"]}


def test_a_rebuild_without_its_file_changes_nothing(batches: Batches, platform: Platform) -> None:
    """A file that is gone stops the rebuild, also one that was killed half way, and leaves the tables and the ledger as they were."""
    batches.land(platform, content(BREAD, OIL, "bad"), "sales", DAY, "a.csv")
    load_pending(platform)
    before, day = tables(platform), date.fromisoformat(DAY)
    ledger = [(f.outcome, f.rows_read, f.rows_accepted, f.rows_rejected) for f in platform.ledger.files()]
    landing.register(platform, "sales", Run(day, "killed", rebuild=True))
    platform.zone.delete("processed/sales/dt=2026-08-01/a.csv")
    load_pending(platform)
    assert tables(platform) == before
    assert [(f.outcome, f.rows_read, f.rows_accepted, f.rows_rejected) for f in platform.ledger.files()] == ledger
    assert {f.status for f in platform.ledger.files()} == {"I"}
    with pytest.raises(SourceFileGone, match=r"processed/sales/dt=2026-08-01/a\.csv is gone"):
        load(platform, day, rebuild=True)
    assert tables(platform) == before


def test_a_ledger_that_begins_anew_over_an_old_lake(batches: Batches, caplog: pytest.LogCaptureFixture) -> None:
    """A ledger that was lost, over a lake that was not, numbers its files after those of the lake: no row is taken for another.

    That it does not know them is told: by the doctor, and when its first file is entered.
    """
    with batches.platform() as platform:
        for name in ("a.csv", "b.csv"):
            batches.land(platform, content(f"{BREAD},t1,1", f"{OIL},{name},1", header=KEYED), "sales", DAY, name)
        load_pending(platform)
        assert sold(platform) == ["bread", "oil", "oil"]
    (batches.home / "ledger.db").unlink()
    assert "holds rows of files up to number 2" not in caplog.text
    with batches.platform() as platform:
        with pytest.raises(UsageError, match=r"is empty, but .*/lake holds rows of files up to number 2.* Set SALESMART_LEDGER_URL"):
            ledger_part(platform)
        batches.land(platform, content(f"{BREAD},t1,1", f"{OIL},c,1", header=KEYED), "sales", DAY, "c.csv")
        load_pending(platform)
        assert [f.file_id for f in platform.ledger.files()] == [3]
        assert sold(platform) == ["bread", "oil", "oil", "oil"]
        assert caplog.text.count("holds rows of files up to number 2") == 1
        assert "1 files, 0 not finished" in ledger_part(platform)
