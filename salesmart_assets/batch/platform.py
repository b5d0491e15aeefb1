"""What the steps of a batch work with: the parts of one installation, each opened when it is first used.

The libraries behind a part are loaded then, too: a look at the ledger needs neither Spark nor S3.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING

import sqlalchemy as sa

from salesmart_assets import faultpoints
from salesmart_assets.contracts import Contract, Tables, build_tables, load_contracts
from salesmart_assets.contracts.tables import DIMENSIONS, MARTS, REJECTED_ROWS
from salesmart_assets.ledger import Ledger
from salesmart_assets.logs import keep
from salesmart_assets.publish.database import describe, open_database
from salesmart_assets.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from salesmart_assets.lake import Lake, NewFile, Snapshot
    from salesmart_assets.landing.zone import LandingZone
    from salesmart_assets.local.endpoint import LocalEndpoint
    from salesmart_assets.publish.publisher import Publisher
    from salesmart_assets.transforms.session import Engine

_log = logging.getLogger(__name__)


SCRATCH = "salesmart-scratch-"
"""What the names of temporary folders begin with, so that upkeep finds those that a killed run left."""


@dataclass
class Platform:
    """The parts of one installation.

    `zone`, `marts` and `session` may be given from outside (Dagster's resources do); else they are opened as the settings say.
    """

    settings: Settings
    given_zone: Callable[[], LandingZone] | None = None
    given_marts: Callable[[], sa.Engine] | None = None
    given_session: Callable[[], SparkSession] | None = None
    _endpoint: LocalEndpoint | None = None
    _engine: Engine | None = None

    def __post_init__(self) -> None:
        """What is logged from now on is kept in this home."""
        keep(self.settings.logs_folder, self.settings.log_megabytes)

    def say(self, message: str) -> None:
        """Tell the log what a step is about to do, or what it waits for."""
        _log.info(message)

    @cached_property
    def contracts(self) -> dict[str, Contract]:
        """The contracts, by source; a user's own are checked whole, so that a fault is told before there is a file."""
        if self.settings.contracts is None:
            return load_contracts()
        from salesmart_assets.ingest.judge import check_contract

        return load_contracts(self.settings.contracts, check_contract)

    @cached_property
    def tables(self) -> Tables:
        """The schema of every table."""
        return build_tables(self.contracts)

    @cached_property
    def lake(self) -> Lake:
        """The lake, with all tables created."""
        from salesmart_assets.lake import Lake

        lake = Lake.open(self.settings, self.tables)
        lake.create_tables()
        return lake

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, with its tables created."""
        ledger = Ledger(open_database(self.settings.ledger_database_url), self.settings.lease_seconds, self._numbers_begin_after)
        ledger.create()
        return ledger

    def _numbers_begin_after(self) -> int:
        """The number after which those of an empty ledger begin. That it is the ledger of another lake is told."""
        last = self.last_number()
        if last:
            _log.warning(self.told_of_empty_ledger(last))
        return last

    def told_of_empty_ledger(self, last: int) -> str:
        """A sentence about an empty ledger beside a lake that was loaded from files up to this number."""
        return (
            f"The ledger {describe(self.settings.ledger_database_url)} is empty, but {self.lake.root} holds rows of files up to number "
            f"{last}, which it does not know: one of them that lands again counts twice. Set SALESMART_LEDGER_URL to the ledger of this "
            "lake, or SALESMART_LAKE to a new one."
        )

    def last_number(self) -> int:
        """The greatest file number in the lake; 0 in a new one."""
        import polars as pl

        greatest = [
            self.lake.snapshot(t.name).scan().select(pl.col("file_id").max()).collect().item() for t in self.tables.group("staging")
        ]
        return max(number or 0 for number in greatest)

    @cached_property
    def marts(self) -> sa.Engine:
        """The database of the marts."""
        if self.given_marts is not None:
            return self.given_marts()
        return open_database(self.settings.marts_url)

    @cached_property
    def publisher(self) -> Publisher:
        """The publisher of marts and dimensions, with the database's tables created."""
        from salesmart_assets.publish.publisher import Publisher

        tables = [self.tables[name] for name in (*DIMENSIONS, *MARTS)]
        publisher = Publisher(self.marts, tables, on_step=faultpoints.reach, waiting=self.say)
        publisher.ensure_schema()
        return publisher

    @cached_property
    def zone(self) -> LandingZone:
        """The landing zone."""
        from salesmart_assets.landing.zone import connect

        if self.given_zone is not None:
            return self.given_zone()
        if self.settings.uses_local_s3:
            self._endpoint = local_endpoint(self.settings)
        zone = connect(self.settings, self._endpoint)
        zone.reach()
        return zone

    @cached_property
    def session(self) -> SparkSession:
        """A session of the engine."""
        if self.given_session is not None:
            return self.given_session()
        self._engine = start_engine(self.settings)
        return self._engine.session()

    @cached_property
    def reads_delta(self) -> bool:
        """Whether the engine has a Delta reader of its own: Sail does, Apache Spark does not, a Spark Connect server is asked."""
        from salesmart_assets.lake import engine

        if self.settings.spark.startswith("sc://"):
            return engine.reads_delta(self.session, self.lake.uri(REJECTED_ROWS.name))
        return self.settings.spark == "sail"

    @property
    def on_cluster(self) -> bool:
        """Whether the engine's machines read landed files and write the lake's: those of a cluster do, where both are on S3."""
        settings = self.settings
        on_s3 = settings.lake_uri.startswith("s3://") and not settings.uses_local_s3
        return on_s3 and settings.spark.startswith(("spark://", "sc://"))

    def frame(self, snapshot: Snapshot) -> DataFrame:
        """The rows of a snapshot in the engine."""
        from salesmart_assets.lake import engine

        return engine.read(self.session, snapshot, by_delta=self.reads_delta)

    def write(self, rows: DataFrame, name: str) -> list[NewFile]:
        """Write rows to files of a table that nobody sees before they are committed."""
        from salesmart_assets.lake import engine

        if self.on_cluster:
            from salesmart_assets.batch.cluster import write_on_cluster

            return write_on_cluster(self, rows, name)
        folder = self.lake.fresh()
        engine.write(rows, self.tables[name], self.lake.uri(name), folder)
        return self.lake.written(name, folder)

    def today(self) -> date:
        """Today, in UTC."""
        return datetime.now(timezone.utc).date()

    def close(self) -> None:
        """Stop what this platform started."""
        if self._engine is not None:
            self._engine.stop()
        if self._endpoint is not None:
            self._endpoint.stop()
        for name in ("marts", "ledger"):
            part = self.__dict__.get(name)
            if part is not None:
                (part if isinstance(part, sa.Engine) else part.engine).dispose()

    def __enter__(self) -> Platform:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_engine(settings: Settings) -> Engine:
    """Start the engine of the settings, with what it needs to read a lake on S3.

    Sail takes its S3 settings from the environment only, where it looks when it first reads.
    """
    from salesmart_assets.lake.storage import hadoop_settings, s3_environment
    from salesmart_assets.transforms.session import Engine, jars_of

    config = jars_of(settings.spark_jars) if settings.spark_jars else {}
    if settings.lake_uri.startswith("s3://"):
        os.environ |= s3_environment(settings)
        config |= hadoop_settings(settings)
    return Engine.start(settings.spark, config)


def local_endpoint(settings: Settings) -> LocalEndpoint:
    """The local S3 endpoint of this home: the one that `salesmart dev` runs, where there is one, else a new one."""
    from salesmart_assets.local.endpoint import LocalEndpoint

    if settings.s3_local_url:
        return LocalEndpoint.attach(settings)
    return LocalEndpoint.start(settings)
