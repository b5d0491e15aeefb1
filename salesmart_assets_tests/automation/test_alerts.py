"""The sensor that tells people, tick by tick, with runs that really failed and a receiver that really listens."""

import warnings
from collections.abc import Iterator

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetSelection,
    DagsterRunStatus,
    DailyPartitionsDefinition,
    Definitions,
    SkipReason,
    asset,
    asset_check,
    build_sensor_context,
    define_asset_job,
)

from salesmart_assets.assets.step import run_step
from salesmart_assets.automation import alert_sensor
from salesmart_assets.automation.outcomes import ended_lately, outcome_of
from salesmart_assets.errors import AuditFailed
from salesmart_assets.logs import Reading, read
from salesmart_assets_tests.automation.conftest import PLATFORM, Watch
from salesmart_assets_tests.receivers import WebServer, web_server

FIRST, SECOND = "2026-08-01", "2026-08-02"


@pytest.fixture
def web(watch: Watch) -> Iterator[WebServer]:
    """A receiver of the installation's alerts."""
    with web_server() as server:
        watch.monkeypatch.setenv("SALESMART_ALERT_WEBHOOK_URL", server.address)
        watch.monkeypatch.setenv("SALESMART_UI_URL", "https://ui.example")
        yield server


def tick(watch: Watch) -> str:
    """One tick of the sensor; what it said."""
    with warnings.catch_warnings():
        # Dagster calls what Dagster deprecates.
        warnings.filterwarnings("ignore", message="InitResourceContext.dagster_run is deprecated")
        with build_sensor_context(instance=watch.instance, resources={"platform": PLATFORM}) as context:
            said = alert_sensor(context)
    assert isinstance(said, SkipReason)
    return said.skip_message or ""


def run(watch: Watch, day: str, *, fails: bool = False, check: bool = True, blocking: bool = True) -> str:
    """A run of two assets, the first with a check, in which one or the other may fail; returns its id."""
    partitions = DailyPartitionsDefinition("2026-01-01")

    @asset(partitions_def=partitions)
    def first() -> None:
        pass

    @asset_check(asset=first, blocking=blocking)
    def adds_up() -> AssetCheckResult:
        return AssetCheckResult(passed=check, severity=AssetCheckSeverity.ERROR, description="1 of 2 sale dates differ.")

    @asset(partitions_def=partitions, deps=[first])
    def second(context: AssetExecutionContext) -> None:
        def step(*_: object) -> None:
            raise AuditFailed("second: 15.00 is not 15.01. Nothing was committed.")

        if fails:
            run_step(context, PLATFORM, step)  # type: ignore[arg-type]

    job = define_asset_job("load_batch", AssetSelection.all())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Definitions([first, second], jobs=[job], asset_checks=[adds_up]).resolve_job_def("load_batch")
        result = made.execute_in_process(instance=watch.instance, partition_key=day, raise_on_error=False)
    assert result.success is not (fails or (blocking and not check))
    return result.run_id


def test_a_failed_run_is_told_once(watch: Watch, web: WebServer) -> None:
    """A run that failed is told with the next tick, with its cause and its link; further tries are not, until the batch came through."""
    first = run(watch, FIRST, fails=True)
    run(watch, FIRST, fails=True)
    tick(watch)
    (cause,) = web.got[0]["causes"]
    assert cause["what"] == "second: 15.00 is not 15.01. Nothing was committed."
    assert cause["where"] == "batch 2026-08-01, step second"
    assert cause["link"] == f"https://ui.example/runs/{first}"
    assert tick(watch) == "1 causes are open; 0 messages wait to be delivered."
    run(watch, FIRST)
    tick(watch)
    run(watch, FIRST, fails=True)
    tick(watch)
    assert web.titles() == ["Batch 2026-08-01 failed"] * 2


def test_a_check_that_fails_is_told(watch: Watch, web: WebServer) -> None:
    """A check that stops a run is told in its place; one that lets the run go on is told as well."""
    run(watch, FIRST, check=False)
    run(watch, SECOND, check=False, blocking=False)
    tick(watch)
    assert [(body["kind"], body["count"]) for body in web.got] == [("check_failed", 1)] * 2
    told = [body["causes"][0] for body in web.got]
    assert [cause["title"] for cause in told] == [f"Check adds_up of first failed for batch {day}" for day in (FIRST, SECOND)]
    assert {cause["what"] for cause in told} == {"1 of 2 sale dates differ."}


def test_a_run_whose_process_died_is_told(watch: Watch, web: WebServer) -> None:
    """A run that the daemon found dead is told, and is in the log with its run and batch date."""
    died = watch.run(FIRST, DagsterRunStatus.FAILURE)
    watch.run(SECOND, DagsterRunStatus.CANCELED)
    tick(watch)
    assert web.titles() == ["Batch 2026-08-01 failed"]
    (line,) = read(watch.platform.settings.logs_folder, Reading("error"))
    assert (line["run_id"], line["batch_date"], line["event"]) == (died.run_id, FIRST, "run.failed")


def test_rejections_and_files_that_are_given_up_are_told(watch: Watch, web: WebServer) -> None:
    """What a tick of the landing sensor sets aside or gives up is told by the next tick of this one."""
    watch.land("2026-02-31", "odd.csv")
    watch.land(FIRST, "lost.csv")
    for _ in range(3):
        watch.register(FIRST)
    watch.tick()
    tick(watch)
    assert sorted(web.titles()) == ["File lost.csv was given up", "File odd.csv was rejected whole"]
    tick(watch)
    assert len(web.got) == 2


def test_a_store_that_is_away_is_told(watch: Watch, web: WebServer) -> None:
    """That the landing zone cannot be looked at is told though no run can fail of it; and that it can be again ends that."""
    for name, value in {"S3_ENDPOINT_URL": "http://127.0.0.1:9", "S3_ACCESS_KEY_ID": "k" * 8, "S3_SECRET_ACCESS_KEY": "s" * 8}.items():
        watch.monkeypatch.setenv(f"SALESMART_{name}", value)
    for _ in range(2):
        watch.tick()
        tick(watch)
    assert web.titles() == ["The landing zone or the ledger cannot be looked at"]
    assert "127.0.0.1:9" in web.got[0]["causes"][0]["what"]
    for name in ("S3_ENDPOINT_URL", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"):
        watch.monkeypatch.delenv(f"SALESMART_{name}")
    watch.tick()
    assert tick(watch) == "0 causes are open; 0 messages wait to be delivered."


def test_a_ledger_that_breaks_is_told(watch: Watch, web: WebServer) -> None:
    """That the ledger's database fails in the middle of its work is told, though nothing can be asked of it any more."""
    watch.land(FIRST)
    watch.register(FIRST)
    engine = watch.platform.ledger.engine
    engine.dispose()
    for path in watch.platform.settings.root.glob("ledger.db*"):
        path.write_bytes(b"no database" * 1000)
    for _ in range(2):
        watch.tick()
        assert watch.said == "Nothing could be looked at: The ledger's database fails: DatabaseError."
        tick(watch)
    assert web.titles() == ["The landing zone or the ledger cannot be looked at"]


def test_nobody_is_told_by_default(watch: Watch) -> None:
    """Without a channel the sensor only writes the ends of runs to the log, each once."""
    run(watch, FIRST, fails=True)
    run(watch, SECOND)
    for _ in range(2):
        assert tick(watch) == "Nobody is told: SALESMART_ALERT_… names no channel."
    lines = [line for line in read(watch.platform.settings.logs_folder, Reading()) if str(line["event"]).startswith("run.")]
    assert [(line["level"], line["batch_date"]) for line in lines] == [("error", FIRST), ("info", SECOND)]
    assert lines[0]["message"] == "Batch 2026-08-01 failed: second: second: 15.00 is not 15.01. Nothing was committed."


def test_an_unexpected_error_is_known_by_its_first_cause(watch: Watch) -> None:
    """Of an error that no step foresaw the outcome has its class, and what it says is kept from logs and messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        @asset(partitions_def=DailyPartitionsDefinition("2026-01-01"))
        def breaks() -> None:
            raise ValueError("Ann Smith is no number")

        job = define_asset_job("load_batch", AssetSelection.all())
        made = Definitions([breaks], jobs=[job]).resolve_job_def("load_batch")
        made.execute_in_process(instance=watch.instance, partition_key=FIRST, raise_on_error=False)
    (record,) = ended_lately(watch.instance)
    outcome = outcome_of(watch.instance, record)
    assert outcome.why(with_data=True) == "breaks: ValueError: Ann Smith is no number"
    assert outcome.why(with_data=False) == "breaks: ValueError: the run's page has the details."
