"""Spark for Dagster: `LazyPySparkResource`, pointed at the engine that `SALESMART_SPARK` names."""

from __future__ import annotations

import atexit
from typing import Any

from dagster_pyspark import LazyPySparkResource
from dagster_pyspark.resources import spark_session_from_config
from pyspark.sql import SparkSession

from salesmart_assets.settings import Settings
from salesmart_assets.transforms.session import Engine

_engines: dict[str, Engine] = {}


class SparkEngine(LazyPySparkResource):
    """A Spark session, opened when it is first asked for.

    The engine (Sail in the process, a JVM, a cluster) is started once per process and shared by its runs, because a
    start costs more than most batches; it ends with the process.
    """

    spark_config: dict[str, Any] = {}

    def session(self) -> SparkSession:
        """The session, with the engine behind it."""
        setting = Settings.load().spark
        if setting not in _engines:
            _engines[setting] = Engine.start(setting)
            atexit.register(_engines[setting].stop)
        if self._spark_session is None:
            engine = _engines[setting]
            spark_session_from_config({"spark.remote": engine.remote, **self.spark_config})
            self._spark_session = engine.session()
        session: SparkSession = self._spark_session
        return session
