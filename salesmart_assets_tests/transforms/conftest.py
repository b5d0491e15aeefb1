"""The engines that transformations are tried on. Each is started once, when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from pyspark.sql import SparkSession

from salesmart_assets.transforms.session import Engine
from salesmart_assets_tests import small_spark

# An engine's answer takes as long as it takes: time limits of hypothesis would only make tests flicker.
settings.register_profile(
    "engine", deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.fixture(scope="session")
def sail_engine() -> Iterator[Engine]:
    """Sail, in this process."""
    with Engine.start("sail") as engine:
        yield engine


@pytest.fixture(scope="session")
def spark_engine() -> Iterator[Engine]:
    """Apache Spark, in a JVM of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small_spark.JVM.items():
            patch.setenv(name, value)
        engine = Engine.start("local[2]")
    with engine:
        for name, value in small_spark.queries().items():
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
