"""The platform as one Dagster resource, over those for S3, the database and Spark."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dagster import ConfigurableResource

from salesmart_assets.logs import keep
from salesmart_assets.resources.configuration import load_settings
from salesmart_assets.resources.database import MartsDatabase
from salesmart_assets.resources.s3 import LandingS3
from salesmart_assets.resources.spark import SparkEngine

if TYPE_CHECKING:
    from salesmart_assets.batch.platform import Platform


_opened: dict[str, Platform] = {}


class PlatformResource(ConfigurableResource[None]):
    """Hands the platform to a step.

    Its parts (connections, clients, schemas that were looked at) are opened once per process and set of settings, because
    a batch has dozens of steps; they end with the process.
    """

    s3: LandingS3
    database: MartsDatabase
    spark: SparkEngine

    @contextmanager
    def open(self) -> Iterator[Platform]:
        """The parts of the installation."""
        from salesmart_assets.batch.platform import Platform

        settings = load_settings()
        mark = settings.fingerprint()
        if mark not in _opened:
            made = Platform(
                settings,
                given_zone=lambda: self.s3.zone(settings),
                given_marts=self.database.engine,
                given_session=self.spark.session,
            )
            atexit.register(made.close)
            _opened[mark] = made
        keep(settings.logs_folder, settings.log_megabytes)
        yield _opened[mark]
