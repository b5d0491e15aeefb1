"""Several processes at once: the same as one after the other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from datetime import date
from pathlib import Path

import pytest

from salesmart_assets.batch import marts
from salesmart_assets.batch.reconcile import mart_reconciles_with_fact, teams_reconcile_with_fact
from salesmart_assets.batch.run import Run
from salesmart_assets.contracts.tables import MARTS
from salesmart_assets_tests.batches import HEADER, Batches, accounted, load, load_pending, tables

DAYS = ("2026-08-01", "2026-08-02")


@pytest.mark.parametrize("arguments", [DAYS, ("--rebuild", *DAYS)], ids=["load", "rebuild"])
def test_two_processes_that_touch_the_same_sale_date(tmp_path: Path, database_url: str, arguments: tuple[str, ...]) -> None:
    """Two processes that load different batches with rows of the same sale date at once leave what one after the other leaves."""
    together = Batches(tmp_path / "together" / "home", {"database_url": database_url})
    together.home.mkdir(parents=True)
    with together.platform() as platform:
        for number, day in enumerate(DAYS):
            rows = [f"{n},121,bread,2026-07-{20 + n % 5},{number},2.50,2,5.00,t{n},1" for n in range(20 + number)]
            together.land(platform, "\n".join([f"{HEADER},transaction_id,line_number", *rows]) + "\n", "sales", day, "a.csv")
    alone = Batches(tmp_path / "alone" / "home")
    alone.home.parent.mkdir()
    shutil.copytree(together.home, alone.home)
    with alone.platform() as platform:
        load_pending(platform)
        wanted = tables(platform)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SALESMART_", "DAGSTER_"))}
    environment = {**kept, "SALESMART_HOME": str(together.home), "SALESMART_DATABASE_URL": database_url}
    options = [a for a in arguments if a.startswith("--")]
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "salesmart_assets_tests.batches", *options, day],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for day in DAYS
    ]
    for child in children:
        _, said = child.communicate(timeout=180)
        assert child.returncode == 0, said
    with together.platform() as platform:
        load_pending(platform)
        assert tables(platform) == wanted
        assert accounted(platform)
        assert {f.status for f in platform.ledger.files()} == {"I"}
        duplicates = {f.key.rsplit("/", 2)[-2]: f.rows_duplicate for f in platform.ledger.files()}
        assert duplicates == {"dt=2026-08-01": 20, "dt=2026-08-02": 0}


def test_a_mart_between_the_steps_of_another_batch(tmp_path: Path) -> None:
    """A batch whose mart is next while another has just made the fact of that month newer adds up both: nothing has to be tried again."""
    batches = Batches(tmp_path / "home")
    with batches.platform() as platform:
        for day in DAYS:
            batches.land(platform, f"{HEADER}\n1,121,bread,{day},1,2.50,2,5.00\n", "sales", day, "a.csv")
        first, second = (date.fromisoformat(day) for day in DAYS)
        load(platform, first, until="daily_customer_sales")
        load(platform, second, until="fact_sales")
        for mart in MARTS:
            marts.build_mart(platform, mart, Run(first, uuid.uuid4().hex))
        for mart in ("customer_mart", "sales_team_mart"):
            assert mart_reconciles_with_fact(platform, mart, first).passed
        assert teams_reconcile_with_fact(platform, first).passed
        assert sum(row["total_sales"] for row in tables(platform, ["sales_team_mart"])["sales_team_mart"]) == 10


def test_a_check_between_the_steps_of_another_batch(tmp_path: Path) -> None:
    """A check does not call wrong what another batch is about to recompute, and says that it is."""
    batches = Batches(tmp_path / "home")
    with batches.platform() as platform:
        for day in DAYS:
            batches.land(platform, f"{HEADER}\n1,121,bread,{day},1,2.50,2,5.00\n", "sales", day, "a.csv")
        first, second = (date.fromisoformat(day) for day in DAYS)
        load(platform, first)
        load(platform, second, until="fact_sales")
        found = mart_reconciles_with_fact(platform, "sales_team_mart", first)
        assert (found.passed, found.sentence) == (
            True,
            "0 months: the mart adds up to 0.00, the fact to 0.00. 1 more are about to be recomputed.",
        )
