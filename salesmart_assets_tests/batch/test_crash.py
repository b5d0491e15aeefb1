"""A process that is killed leaves nothing that the next run does not repair: at every fault point, for every table."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from salesmart_assets.errors import Permanent
from salesmart_assets.faultpoints import POINTS, VARIABLE
from salesmart_assets_tests.batches import HEADER, Batches, Tables, accounted, load_pending, tables

DAY = "2026-08-01"
SALES = (
    "1,121,bread,2026-07-31,1,2.50,2,5.00",
    "2,121,oil,2026-08-01,2,10.00,1,10.00",
    "1,122,bread,2026-08-01,3,2.50,4,10.00",
    "x,122,bread,2026-08-01,3,2.50,4,10.00",
)
FIXED = ("1,121,bread,2026-07-31,1,2.50,3,7.50", "5,121,oil,2026-08-02,2,10.00,1,10.00", SALES[-1])
STATE = {
    "customers": (
        "customer_id,first_name,last_name,address,pincode,phone_number,customer_joining_date",
        "1,Cleo,Fox,Road 7,10001,555,2020-01-01",
        "2,Dan,,Road 8,10001,556,not a date",
    ),
    "stores": (
        "store_id,address,store_pincode,store_manager_name,store_opening_date",
        "121,Road 1,10001,Bob,2010-01-01",
    ),
    "products": (
        "product_id,name,category,price,cost,stock_on_hand,expiry_date",
        "1,bread,food,2.50,1.00,7,2030-01-01",
        "2,oil,food,9.00,4.00,0,2030-01-01",
    ),
    "sales_team": (
        "sales_person_id,first_name,last_name,manager_id,is_manager,store_id,address,pincode,joining_date",
        "1,Ann,Hill,2,false,121,Road 1,10001,2020-01-01",
        "2,Bob,Lake,,true,121,Road 2,10002,2019-01-01",
    ),
}


def content(*lines: str) -> str:
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Batches:
    """A home in which a batch is done, and a second one waits: an overwritten file, and one file of each other source."""
    batches = Batches(tmp_path_factory.mktemp("prepared") / "home")
    with batches.platform() as platform:
        batches.land(platform, content(HEADER, *SALES), "sales", DAY, "a.csv")
        load_pending(platform)
        batches.land(platform, content(HEADER, *FIXED), "sales", DAY, "a.csv")
        for source, lines in STATE.items():
            batches.land(platform, content(*lines), source, DAY, f"{source}.csv")
    return batches


@pytest.fixture(scope="session")
def undisturbed(prepared: Batches, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The tables after a run that nobody killed."""
    with copy_of(prepared, tmp_path_factory.mktemp("undisturbed")).platform() as platform:
        load_pending(platform)
        return tables(platform)


def copy_of(prepared: Batches, folder: Path) -> Batches:
    shutil.copytree(prepared.home, folder / "home")
    return Batches(folder / "home")


def run_child(batches: Batches, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SALESMART_", "DAGSTER_"))}
    command = [sys.executable, "-m", "salesmart_assets_tests.batches", *arguments]
    return subprocess.run(
        command,
        env={**kept, "SALESMART_HOME": str(batches.home), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def killed_at(point: str, prepared: Batches, folder: Path) -> Batches:
    batches = copy_of(prepared, folder)
    died = run_child(batches, DAY, **{VARIABLE: point})
    assert died.returncode == -signal.SIGKILL, f"the fault point {point} was not reached\n{died.stderr}"
    return batches


@pytest.mark.parametrize("point", sorted(POINTS))
def test_killed_at(point: str, prepared: Batches, undisturbed: Tables, tmp_path: Path) -> None:
    """A process killed at any point of any table is repaired by the next run: tables, database and ledger are as if undisturbed."""
    batches = killed_at(point, prepared, tmp_path)
    with batches.platform() as platform:
        load_pending(platform)
        assert tables(platform) == undisturbed
        files = platform.ledger.files()
        assert {f.status for f in files} == {"I"}
        assert accounted(platform)
        assert [f.outcome for f in files if f.source == "sales"] == ["superseded", "loaded"]
        assert not platform.ledger.pending()
        landed = [o.key for o in platform.zone.list_any("landing/")]
        assert landed == [], "what was finished is archived"


@pytest.mark.parametrize("point", ["landing.registered@sales", "staging.committed@stg_sales", "fact.written", "publish.before_commit"])
def test_block(point: str, prepared: Batches, undisturbed: Tables, tmp_path: Path) -> None:
    """With on_unfinished: block the run after a crash stops with a clear error that names the files, until a person lets it repair."""
    batches = killed_at(point, prepared, tmp_path)
    blocking = Batches(batches.home, {"on_unfinished": "block"})
    with blocking.platform() as platform:
        before = tables(platform)
        with pytest.raises(Permanent, match=r"s3://salesmart/landing/sales/dt=2026-08-01/a\.csv.*SALESMART_ON_UNFINISHED=repair"):
            load_pending(platform)
        assert tables(platform) == before
    with batches.platform() as platform:
        load_pending(platform)
        assert tables(platform) == undisturbed


def test_block_lets_a_finished_batch_go_on(tmp_path: Path) -> None:
    """With on_unfinished: block, what is merely new is loaded."""
    batches = Batches(tmp_path / "home", {"on_unfinished": "block"})
    with batches.platform() as platform:
        for number in range(2):
            batches.land(platform, content(HEADER, *SALES[: number + 1]), "sales", DAY, f"{number}.csv")
            load_pending(platform)
        assert {f.outcome for f in platform.ledger.files(batch_date=date.fromisoformat(DAY))} == {"loaded"}
