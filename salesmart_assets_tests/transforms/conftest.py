"""The engines that transformations are tried on. Each is started once, when the first test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from pyspark.sql import SparkSession

from salesmart_assets.transforms.session import Engine

# An engine's answer takes as long as it takes: time limits of hypothesis would only make tests flicker.
settings.register_profile(
    "engine", deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

# Compiling costs more than running on a handful of rows, and answers do not depend on it.
_SMALL_QUERIES = {"spark.sql.codegen.wholeStage": "false", "spark.sql.adaptive.enabled": "false", "spark.sql.shuffle.partitions": "1"}


@pytest.fixture(scope="session")
def sail_engine() -> Iterator[Engine]:
    """Sail, in this process."""
    with Engine.start("sail") as engine:
        yield engine


@pytest.fixture(scope="session")
def spark_engine() -> Iterator[Engine]:
    """Apache Spark, in a JVM of its own."""
    before = os.environ.get("JAVA_TOOL_OPTIONS")
    os.environ["JAVA_TOOL_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    try:
        engine = Engine.start("local[2]")
    finally:
        os.environ.pop("JAVA_TOOL_OPTIONS") if before is None else os.environ.update(JAVA_TOOL_OPTIONS=before)
    with engine:
        for name, value in _SMALL_QUERIES.items():
            engine.session().conf.set(name, value)
        yield engine


@pytest.fixture(params=["sail", pytest.param("spark", marks=pytest.mark.xdist_group("jvm"))])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    found: Engine = request.getfixturevalue(f"{request.param}_engine")
    return found


@pytest.fixture(scope="session")
def sail(sail_engine: Engine) -> SparkSession:
    """A session on Sail."""
    return sail_engine.session()
