"""A process that is killed leaves nothing that the next run does not repair."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from salesmart_assets.faultpoints import VARIABLE
from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation

SALES = [
    "1,121,bread,2026-07-31,1,2.50,2,5.00",
    "2,121,oil,2026-08-01,2,10.00,1,10.00",
    "1,122,bread,2026-08-01,3,2.50,4,10.00",
    "x,122,bread,2026-08-01,3,2.50,4,10.00",
]
SELLERS = [
    "sales_person_id,first_name,last_name,manager_id,is_manager,store_id,address,pincode,joining_date",
    "1,Ann,Hill,2,false,121,Road 1,10001,2020-01-01",
    "2,Bob,Lake,,true,121,Road 2,10002,2019-01-01",
]
FIXED = ["1,121,bread,2026-07-31,1,2.50,3,7.50", "5,121,oil,2026-08-02,2,10.00,1,10.00"]


def landed(salesmart: Installation) -> None:
    """A first batch that is done, then a second one with an overwritten file and a dimension."""
    first = salesmart.write("a.csv", "\n".join([HEADER, *SALES]) + "\n")
    salesmart("land", first, "--source", "sales", "--date", "2026-08-01")
    salesmart("run")
    fixed = salesmart.write("a.csv", "\n".join([HEADER, *FIXED, SALES[-1]]) + "\n")
    salesmart("land", fixed, "--source", "sales", "--date", "2026-08-01")
    sellers = salesmart.write("sellers.csv", "\n".join(SELLERS) + "\n")
    salesmart("land", sellers, "--source", "sales_team", "--date", "2026-08-01")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A home in which the second batch is landed and waits."""
    salesmart = Installation(tmp_path_factory.mktemp("prepared") / "home")
    landed(salesmart)
    return salesmart


def copy_of(prepared: Installation, home: Path) -> Installation:
    shutil.copytree(prepared.home, home)
    return Installation(home)


@pytest.fixture(scope="session")
def undisturbed(prepared: Installation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, object]]]:
    """The tables after a run that nobody killed."""
    salesmart = copy_of(prepared, tmp_path_factory.mktemp("undisturbed") / "home")
    salesmart("run")
    return salesmart.tables()


@pytest.mark.parametrize("point", ["staging.committed@stg_sales", "fact.written", "publish.before_commit", "files.closed"])
def test_killed_at(point: str, prepared: Installation, undisturbed: dict[str, list[dict[str, object]]], tmp_path: Path) -> None:
    """A run killed at any step is repaired by the next one: tables and database equal those of an undisturbed run."""
    salesmart = copy_of(prepared, tmp_path / "home")
    died = salesmart("run", code=None, **{VARIABLE: point})
    assert died.returncode == -signal.SIGKILL, f"the fault point {point} was not reached\n{died.stdout}\n{died.stderr}"
    salesmart("run")
    assert salesmart.tables() == undisturbed
    files = salesmart.json("status", "--json")
    assert {f["status"] for f in files} == {"I"}
    assert all(f["rows_read"] == f["rows_accepted"] + f["rows_rejected"] + f["rows_duplicate"] for f in files)
    assert [f["outcome"] for f in files if f["source"] == "sales"] == ["loaded", "superseded"]
