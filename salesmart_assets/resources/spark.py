"""Spark for Dagster: `dagster_pyspark.LazyPySparkResource`, pointed at the engine that `SALESMART_SPARK` names."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

from dagster import ConfigurableResource

from salesmart_assets.resources.configuration import load_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from salesmart_assets.transforms.session import Engine

_engines: dict[str, Engine] = {}


class SparkEngine(ConfigurableResource[None]):
    """A Spark session, opened when it is first asked for.

    The engine (Sail in the process, a JVM, a cluster) is started once per process and shared by its runs, because a
    start costs more than most batches; it ends with the process.
    """

    spark_config: dict[str, str] = {}  # noqa: RUF012 (a field of a pydantic model, which copies it)

    def session(self) -> SparkSession:
        """The session, with the engine behind it."""
        from dagster_pyspark import LazyPySparkResource

        from salesmart_assets.batch.platform import start_engine
        from salesmart_assets.transforms.session import SESSION_CONFIG

        settings = load_settings()
        setting = settings.spark
        if setting not in _engines:
            _engines[setting] = start_engine(settings)
            atexit.register(_engines[setting].stop)
        engine = _engines[setting]
        # The engine sets what every session needs; the resource then hands out that session.
        engine.session()
        config = {"spark.remote": engine.remote, **SESSION_CONFIG, **self.spark_config}
        session: SparkSession = LazyPySparkResource(spark_config=config).spark_session
        return session
