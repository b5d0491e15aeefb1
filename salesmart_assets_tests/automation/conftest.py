"""A sensor in front of a real endpoint, a real ledger and a real Dagster instance; only its clock can be set."""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunRequest, SensorResult, SkipReason, build_sensor_context

from salesmart_assets.automation import landing_sensor, sensors
from salesmart_assets.batch import landing
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Run
from salesmart_assets.definitions import database, s3, spark
from salesmart_assets.ledger.schema import ingest_file
from salesmart_assets.resources import PlatformResource
from salesmart_assets.resources import platform as opened_platforms
from salesmart_assets.resources import s3 as started_endpoints

PLATFORM = PlatformResource(s3=s3, database=database, spark=spark)


@dataclass
class Watch:
    """An installation whose sensor is asked tick by tick."""

    instance: DagsterInstance
    monkeypatch: pytest.MonkeyPatch
    said: str = ""
    later: timedelta = timedelta()
    """How much later than the machine's clock the sensor's clock is."""
    asked: list[RunRequest] = field(default_factory=list)

    @property
    def platform(self) -> Platform:
        with PLATFORM.open() as opened:
            return opened

    def land(self, day: str, name: str = "a.csv", body: bytes = b"1", source: str = "sales") -> str:
        """Put an object into the dt= folder of that name; returns its key."""
        key = f"landing/{source}/dt={day}/{name}"
        self.platform.zone.client.put_object(Bucket="salesmart", Key=key, Body=body)
        return key

    def tick(self) -> dict[str, str]:
        """One tick; the run keys asked for, by batch date. What it said is in `said`."""
        self.monkeypatch.setattr(sensors, "_now", lambda: datetime.now(timezone.utc) + self.later)
        with warnings.catch_warnings():
            # Dagster calls what Dagster deprecates.
            warnings.filterwarnings("ignore", message="InitResourceContext.dagster_run is deprecated")
            with build_sensor_context(instance=self.instance, resources={"platform": PLATFORM}) as context:
                found = landing_sensor(context)
        if isinstance(found, SkipReason):
            self.said = found.skip_message or ""
            return {}
        assert isinstance(found, SensorResult)
        self.said = ""
        self.asked = list(found.run_requests or [])
        return {str(r.partition_key): str(r.run_key) for r in self.asked}

    def run(self, day: str, status: DagsterRunStatus) -> DagsterRun:
        """A run of that batch date in Dagster's history, as it now stands."""
        run = DagsterRun(job_name="load_batch", run_id=str(uuid.uuid4()), tags={"dagster/partition": day}, status=DagsterRunStatus.STARTED)
        self.instance.add_run(run)
        if status is DagsterRunStatus.FAILURE:
            self.instance.report_run_failed(run)
        elif status is DagsterRunStatus.CANCELED:
            self.instance.report_run_canceled(run)
        elif status is DagsterRunStatus.SUCCESS:
            self.instance.delete_run(run.run_id)
            self.instance.add_run(run.with_status(status))
        return run

    def register(self, day: str) -> None:
        """The first step of a run for that date: its objects are entered, and a try is counted."""
        landing.register(self.platform, "sales", Run(date.fromisoformat(day), uuid.uuid4().hex, rebuild=False))

    def fail(self, day: str) -> None:
        """A run for that date that registers its files and then fails."""
        self.register(day)
        self.run(day, DagsterRunStatus.FAILURE)

    def finish(self) -> None:
        """All files of the ledger are done."""
        with self.platform.ledger.engine.begin() as connection:
            connection.execute(sa.update(ingest_file).values(status="I", stage="published", outcome="loaded"))


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """An installation of its own; settings are set in the environment before the first use."""
    for name in [n for n in os.environ if n.startswith(("SALESMART_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SALESMART_HOME", str(tmp_path / "home"))
    with DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")) as instance:
        yield Watch(instance, monkeypatch)
    for platform in opened_platforms._opened.values():
        platform.close()
    opened_platforms._opened.clear()
    for endpoint in started_endpoints._endpoints.values():
        endpoint.stop()
    started_endpoints._endpoints.clear()
