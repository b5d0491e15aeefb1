"""How Apache Spark is set for a handful of rows: compiling costs more than running, and answers do not depend on it."""

from __future__ import annotations

from pathlib import Path

JVM = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
"""For the environment of whatever starts a JVM."""


def queries(partitions: int = 1) -> dict[str, str]:
    """For a session. `partitions`: in how many parts the rows of a query are spread."""
    small = {"spark.sql.codegen.wholeStage": "false", "spark.sql.adaptive.enabled": "false"}
    return {**small, "spark.sql.shuffle.partitions": str(partitions)}


def configured(folder: Path, partitions: int = 1) -> dict[str, str]:
    """The environment of a process that starts a small Spark; it is read from the folder, as any configuration of its user's."""
    lines = (f"{name} {value}\n" for name, value in queries(partitions).items())
    (folder / "spark-defaults.conf").write_text("".join(lines), "utf-8")
    return {**JVM, "SPARK_CONF_DIR": str(folder)}
