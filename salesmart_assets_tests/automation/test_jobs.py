"""What a person starts in the UI: a month rebuilt in one run, and what is stale published."""

from __future__ import annotations

import warnings

from dagster import DagsterEventType, ExecuteInProcessResult

from salesmart_assets.definitions import defs
from salesmart_assets_tests.automation.conftest import Watch
from salesmart_assets_tests.batches import HEADER, tables

RANGE = {"dagster/asset_partition_range_start": "2026-07-01", "dagster/asset_partition_range_end": "2026-07-03"}


def execute(watch: Watch, job: str, **options: object) -> ExecuteInProcessResult:
    with warnings.catch_warnings():
        # Dagster calls what Dagster deprecates.
        warnings.filterwarnings("ignore", message="InitResourceContext.dagster_run is deprecated")
        return defs.resolve_job_def(job).execute_in_process(instance=watch.instance, **options)  # type: ignore[arg-type]


def test_several_dates_are_rebuilt_in_one_run(watch: Watch) -> None:
    """Batch dates that are rebuilt together in the UI are one run: equal tables, each mart computed once, each date told for itself."""
    for day in ("2026-07-01", "2026-07-03"):
        watch.land(day, body=f"{HEADER}\n1,121,bread,{day},1,2.50,2,5.00\n1,121,bread,{day},1,2.50,2,6.00\n".encode())
        assert execute(watch, "load_batch", partition_key=day, tags={"salesmart/take": "pending"}).success
    platform = watch.platform
    before, version = tables(platform), platform.lake.snapshot("customer_mart").version
    done = execute(watch, "rebuild_month", tags=RANGE)
    assert done.success
    assert tables(platform) == before
    assert platform.lake.snapshot("customer_mart").version == version + 1
    assert {f.status for f in platform.ledger.files()} == {"I"}
    made = {
        str(event.partition): event.materialization.metadata
        for event in done.get_asset_materialization_events()
        if event.asset_key and event.asset_key.to_user_string() == "stg_sales"
    }
    assert len(made) == 3
    assert [made[day]["rows_rejected"].value for day in ("2026-07-01", "2026-07-02", "2026-07-03")] == [1, 0, 1]
    checks = {
        (check.asset_key.to_user_string(), check.check_name): check
        for event in done.all_events
        if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION and (check := event.asset_check_evaluation_data)
    }
    unknown = checks["fact_sales", "known_members"]
    assert not unknown.passed
    assert str(unknown.description).startswith("2 of 2 batch dates failed. 2026-07-01: Not delivered yet: 1 customer")
    assert checks["customer_mart", "reconciles_with_fact"].passed


def test_what_is_stale_is_published(watch: Watch) -> None:
    """The marts are published to a new database without a file being read."""
    watch.land("2026-07-01", body=f"{HEADER}\n1,121,bread,2026-07-01,1,2.50,2,5.00\n".encode())
    assert execute(watch, "load_batch", partition_key="2026-07-01", tags={"salesmart/take": "pending"}).success
    other = watch.platform.settings.root / "other.db"
    watch.monkeypatch.setenv("SALESMART_DATABASE_URL", f"sqlite:///{other}")
    watch.monkeypatch.setenv("SALESMART_LEDGER_URL", f"sqlite:///{watch.platform.settings.root / 'ledger.db'}")
    done = execute(watch, "publish_marts", partition_key="2026-07-01")
    assert done.success
    assert [event.asset_key.path for event in done.get_asset_materialization_events() if event.asset_key] == [["mart_publication"]]
    assert [str(row["incentive"]) for row in tables(watch.platform)["database/sales_team_mart"]] == ["0.05"]
