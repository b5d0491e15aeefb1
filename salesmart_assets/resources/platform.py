"""The platform as one Dagster resource, over those for S3, the database and Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dagster import ConfigurableResource

from salesmart_assets.resources.s3 import LandingS3
from salesmart_assets.resources.spark import SparkEngine
from salesmart_assets.settings import Settings

if TYPE_CHECKING:
    from salesmart_assets.batch.platform import Platform


class PlatformResource(ConfigurableResource[None]):
    """Opens the platform for a step and closes it after."""

    s3: LandingS3
    spark: SparkEngine

    @contextmanager
    def open(self, say: Callable[[str], None]) -> Iterator[Platform]:
        """The parts of the installation; `say` is told what happens meanwhile."""
        from salesmart_assets.batch.platform import Platform

        settings = Settings.load()
        platform = Platform(settings, say, given_zone=lambda: self.s3.zone(settings), given_session=self.spark.session)
        with platform:
            yield platform
