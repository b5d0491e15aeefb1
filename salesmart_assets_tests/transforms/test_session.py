"""Engines start, are reached and stop."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import pyarrow as pa
import pytest
from pyspark.errors.exceptions.connect import IllegalArgumentException, SparkConnectGrpcException
from pyspark.sql import functions as F
from pyspark.sql.connect.proto import AnalyzePlanRequest, AnalyzePlanResponse

from salesmart_assets.errors import Unreachable, UsageError
from salesmart_assets.transforms.session import Engine, frame_of


def test_times_are_utc_on_every_engine(engine: Engine) -> None:
    """A session's time zone is UTC, whatever the machine's."""
    assert engine.session().conf.get("spark.sql.session.timeZone") == "UTC"
    noon = engine.session().range(1).select(F.hour(F.timestamp_seconds(F.lit(43_200))).alias("hour")).toArrow()
    assert noon.to_pylist() == [{"hour": 12}]


def test_a_session_is_made_once(engine: Engine) -> None:
    """An engine has one session, and another engine in the same process has another."""
    assert engine.session() is engine.session()
    assert engine.remote.startswith("sc://127.0.0.1:")


def test_empty_tables_keep_their_types(engine: Engine) -> None:
    """A table without rows becomes a frame with its columns."""
    empty = pa.table({"day": pa.array([], pa.date32()), "amount": pa.array([], pa.decimal128(18, 2))})
    found = frame_of(engine.session(), empty).toArrow()
    assert (found.num_rows, found.schema.types) == (0, empty.schema.types)


def test_an_engine_of_somebody_else_is_left_running(sail_engine: Engine) -> None:
    """Stopping the connection to a Spark Connect server ends our session, not the server."""
    other = Engine.start(sail_engine.remote)
    assert (other.kind, other.session().range(2).count()) == ("connect", 2)
    other.stop()
    other.stop()
    assert sail_engine.session().range(3).count() == 3


# pyspark tells by a deprecated method that it can't release what is gone.
@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning")
def test_a_session_outlives_long_steps_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is not used for minutes, while large files are read, is still there: Sail is told to keep it for a week."""
    with Engine.start("sail"):
        assert int(os.environ["SAIL_SPARK__SESSION_TIMEOUT_SECS"]) == 7 * 24 * 60 * 60
    # That this is the name Sail goes by is seen where it says a second.
    monkeypatch.setenv("SAIL_SPARK__SESSION_TIMEOUT_SECS", "1")
    with Engine.start("sail") as engine:
        session = engine.session()
        assert session.range(1).count() == 1
        time.sleep(3)
        with pytest.raises(IllegalArgumentException, match="is not running"):
            session.range(1).count()


def test_two_engines_live_in_one_process() -> None:
    """Engines can be started and stopped beside each other; a new session follows an old one."""
    with Engine.start("sail") as first, Engine.start("sail") as second:
        assert first.remote != second.remote
        assert first.session().range(1).count() == 1
        first.stop()
        assert second.session().range(2).count() == 2


def test_unknown_settings_are_named() -> None:
    """A setting that names no engine is a usage error that says which ones there are."""
    with pytest.raises(UsageError, match="SALESMART_SPARK=flink names no engine: use sail"):
        Engine.start("flink")


def test_spark_without_java_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no Java, the error names it, and the engine that needs none."""
    monkeypatch.setenv("JAVA_HOME", os.devnull)
    with pytest.raises(Unreachable, match=r"needs Java 17.*SALESMART_SPARK=sail"):
        Engine.start("local[1]")


def test_importing_starts_nothing() -> None:
    """The modules can be imported where warnings are errors, without loading an engine."""
    modules = "session, shape, asof, dimensions, fact, rollups, marts, management, changes"
    script = f"import sys; from salesmart_assets.transforms import {modules}; assert 'pysail' not in sys.modules"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_answer_that_cannot_be_read_is_asked_for_again(sail_engine: Engine) -> None:
    """Where gRPC makes no sense of an answer, as happens now and then, the engine is asked again; where it never does, that is told."""
    with Engine.start(sail_engine.remote) as engine:
        session: Any = engine.session()
        stub, failing = session.client._stub, [0]
        answers = stub.AnalyzePlan

        def read(answer: bytes) -> AnalyzePlanResponse:
            failing[0] -= 1
            return AnalyzePlanResponse.FromString(b"\xff" if failing[0] >= 0 else answer)

        stub.AnalyzePlan = session.client._channel.unary_unary(
            "/spark.connect.SparkConnectService/AnalyzePlan",
            request_serializer=AnalyzePlanRequest.SerializeToString,
            response_deserializer=read,
        )
        failing[0] = 2
        assert session.range(3).columns == ["id"]
        failing[0] = 10
        with (
            pytest.warns(UserWarning, match="RETRIES_EXCEEDED"),
            pytest.raises(SparkConnectGrpcException, match="Exception deserializing response"),
        ):
            session.range(4).columns  # noqa: B018
        stub.AnalyzePlan = answers
