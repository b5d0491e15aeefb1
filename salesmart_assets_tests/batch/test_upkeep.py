"""Upkeep beside batches: no table changes by it, and whatever comes after it works as before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from salesmart_assets.batch import staging, upkeep
from salesmart_assets.batch.platform import SCRATCH, Platform
from salesmart_assets.batch.run import Run
from salesmart_assets.contracts.tables import REJECTED_ROWS
from salesmart_assets.faultpoints import UPKEEP_POINTS, VARIABLE
from salesmart_assets_tests.batch.test_crash import DAY, copy_of, prepared, undisturbed
from salesmart_assets_tests.batches import HEADER, Batches, Tables, accounted, load, load_pending, tables

__all__ = ["prepared", "undisturbed"]  # fixtures

LATER = timedelta(days=30)
_CHILD = """
import sys
from datetime import datetime, timedelta, timezone
from salesmart_assets.batch import upkeep
from salesmart_assets.batch.platform import Platform
from salesmart_assets.lake import upkeep as of_tables
from salesmart_assets.settings import Settings

of_tables._COMMITS = 1
with Platform(Settings.load()) as platform:
    for task in upkeep.maintain(platform, "killed", datetime.now(timezone.utc) + timedelta(days=30)):
        print(task)
"""


@pytest.fixture(autouse=True)
def own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own for scratch: upkeep as of a month later would remove what other tests have in the shared one."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))


def maintain(platform: Platform, later: timedelta = timedelta()) -> dict[str, str]:
    """Do upkeep as if it were later; what each task says. Fails the test if one could not be done."""
    done = list(upkeep.maintain(platform, "upkeep", datetime.now(timezone.utc) + later))
    assert [task for task in done if not task.ok] == []
    return {task.name: task.says for task in done}


def data_files(platform: Platform) -> dict[str, set[str]]:
    """The data files on the disk, by table."""
    found = {}
    for table in platform.tables:
        root = Path(platform.lake.uri(table.name))
        found[table.name] = {str(path.relative_to(root)) for path in root.rglob("*.parquet") if path.parent.name != "_delta_log"}
    return found


def test_upkeep_killed_at_any_point(prepared: Batches, undisturbed: Tables, tmp_path: Path) -> None:
    """Upkeep killed at any point leaves nothing broken: a rebuild and the next upkeep work, and all tables are as they were."""
    batches = copy_of(prepared, tmp_path)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SALESMART_", "DAGSTER_"))}
    with batches.platform() as platform:
        load_pending(platform)
        assert max(len(platform.lake.snapshot(t.name).files) for t in platform.tables if t.group == "warehouse") > 1
        for point in UPKEEP_POINTS:
            environment = {**kept, "SALESMART_HOME": str(batches.home), VARIABLE: point}
            died = subprocess.run([sys.executable, "-c", _CHILD], env=environment, capture_output=True, text=True, check=False, timeout=120)
            assert died.returncode == -signal.SIGKILL, f"the fault point {point} was not reached\n{died.stdout}{died.stderr}"
            assert tables(platform) == undisturbed
        maintain(platform, LATER)
        assert tables(platform) == undisturbed
        load(platform, date.fromisoformat(DAY), rebuild=True)
        assert tables(platform) == undisturbed
        assert accounted(platform)


def test_upkeep_leaves_what_is_needed_and_nothing_else(batches: Batches, platform: Platform) -> None:
    """Long after, the disk holds the files that the tables show and those that the ledger has yet to commit; before that, all of them."""
    for number in range(2):
        batches.land(platform, f"{HEADER}\n{number},121,bread,2026-07-31,1,2.50,2,5.00\nx,1,tea,,,,,\n", "sales", DAY, "a.csv")
        load_pending(platform)
    orphan = Path(platform.lake.uri("fact_sales"), "part-lost", "sales_date=2026-07-31", "lost.parquet")
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"lost")
    batches.land(platform, f"{HEADER}\ny,1,tea,,,,,\n", "sales", DAY, "b.csv")
    load(platform, date.fromisoformat(DAY), until="stg_sales")
    before, there = tables(platform), data_files(platform)
    maintain(platform)
    assert all(there[name] <= now for name, now in data_files(platform).items()), "within the retention nothing goes"
    said = maintain(platform, LATER)
    assert "were removed" in said["unread files"]
    shown = {t.name: {f.path for f in platform.lake.snapshot(t.name).files} for t in platform.tables}
    left = data_files(platform)
    assert {name: left[name] - shown[name] for name in left if name != REJECTED_ROWS.name} == {
        name: set() for name in left if name != REJECTED_ROWS.name
    }
    assert not orphan.parent.exists()
    assert len(left[REJECTED_ROWS.name] - shown[REJECTED_ROWS.name]) == 1, "the rejection that is not in its table yet"
    assert tables(platform) == before
    load_pending(platform)
    assert [row["raw"] for row in tables(platform, [REJECTED_ROWS.name])[REJECTED_ROWS.name]] == ["x,1,tea,,,,,", "y,1,tea,,,,,"]
    assert accounted(platform)


def test_a_dimension_is_brought_up_to_date_after_upkeep(batches: Batches, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upkeep forgets nothing that a dimension is brought up to date by: the next delivery in order is still one in order."""
    from salesmart_assets_tests.batch.test_dimensions import FIRST, deliver, text

    monkeypatch.setattr("salesmart_assets.lake.upkeep._COMMITS", 1)
    for number in range(3):
        day = FIRST + timedelta(number)
        deliver(batches, platform, day, "a", text(day, [(1, "soap", number + 1, None), (2 + number, "tea", 1, None)]))
    load_pending(platform)
    maintain(platform, LATER)
    assert len(platform.lake.snapshot("dim_product").files) == 1
    day = FIRST + timedelta(3)
    assert deliver(batches, platform, day, "a", text(day, [(1, "soap", 9, None)])).facts["built"] == "in order"


def test_upkeep_waits_for_a_writer_and_then_does_the_rest(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch writes for long, upkeep says what it could not do, and does all that needs no writer's lease."""
    monkeypatch.setattr(upkeep, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr("salesmart_assets.lake.upkeep._COMMITS", 1)
    held, done = threading.Event(), threading.Event()

    def write() -> None:
        with platform.ledger.writer.hold():
            held.set()
            done.wait(60)

    _ = platform.lake, platform.marts
    other = Platform(platform.settings)
    writer = threading.Thread(target=write)
    writer.start()
    held.wait(60)
    tasks = {task.name: task for task in upkeep.maintain(other, "upkeep")}
    done.set()
    writer.join()
    other.close()
    assert [name for name, task in tasks.items() if not task.ok] == ["checkpoints"]
    assert "Another process of this host has been writing" in tasks["checkpoints"].says


def test_old_reports_and_scratch_go(platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Daily reports older than the days of the setting go, as do folders that killed runs left; monthly reports and the young stay."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    today = datetime.now(timezone.utc).date()
    for name in (f"daily/{today}.html", f"daily/{today - timedelta(days=401)}.html", "daily/half.html.ab.tmp", "monthly/2020-01.html"):
        platform.lake.write_file(f"reports/{name}", b"page")
    for name in (f"{SCRATCH}old", f"{SCRATCH}young", "salesmart-1000"):
        (tmp_path / name).mkdir()
    then = (datetime.now(timezone.utc) - timedelta(days=8)).timestamp()
    for path in (tmp_path / f"{SCRATCH}old", tmp_path / "salesmart-1000", Path(platform.lake.root, "reports/daily/half.html.ab.tmp")):
        os.utime(path, (then, then))
    maintain(platform)
    left = {str(path.relative_to(platform.lake.root)) for path in Path(platform.lake.root, "reports").rglob("*.*")}
    assert left == {f"reports/daily/{today}.html", "reports/monthly/2020-01.html"}
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith("salesmart-")} == {f"{SCRATCH}young", "salesmart-1000"}


def test_upkeep_of_databases(tmp_path: Path, database_url: str) -> None:
    """Ledger and marts are tended on each database, and a damaged SQLite file is told."""
    with Batches(tmp_path / "home", {"database_url": database_url}).platform() as platform:
        assert "Ledger:" in maintain(platform)["databases"]
        if not database_url.startswith("sqlite"):
            return
        _ = platform.ledger.files(), platform.publisher.published()
        platform.ledger.engine.dispose()
        path = platform.settings.root / "ledger.db"
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :] = os.urandom(len(content) - len(content) // 2)
        path.write_bytes(content)
        (failed,) = [task for task in upkeep.maintain(platform, "upkeep") if task.name == "databases"]
        assert not failed.ok


def test_staging_stays_by_file(batches: Batches, platform: Platform) -> None:
    """Upkeep joins no staged rows of different files: each file's rows leave with it, in one commit that reads no other."""
    for name in ("a.csv", "b.csv"):
        batches.land(platform, f"{HEADER}\n{ord(name[0])},121,bread,2026-07-31,1,2.50,2,5.00\n", "sales", DAY, name)
    load_pending(platform)
    maintain(platform, LATER)
    assert len({file.origin for file in platform.lake.snapshot("stg_sales").files}) == 2
    batches.land(platform, f"{HEADER}\n1,121,tea,2026-07-31,1,2.50,2,5.00\n", "sales", DAY, "a.csv")
    from salesmart_assets.batch import landing

    run = Run(date.fromisoformat(DAY), "retract")
    landing.register(platform, "sales", run)
    staging.stage(platform, "sales", run)
    assert sorted(row["customer_id"] for row in tables(platform, ["stg_sales"])["stg_sales"]) == [1, ord("b")]
