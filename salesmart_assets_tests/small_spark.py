"""How Apache Spark is set for a handful of rows: compiling costs more than running, and answers do not depend on it."""

from __future__ import annotations

from pathlib import Path

JVM = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
"""For the environment of whatever starts a JVM."""

QUERIES = {"spark.sql.codegen.wholeStage": "false", "spark.sql.adaptive.enabled": "false", "spark.sql.shuffle.partitions": "1"}
"""For a session."""


def configured(folder: Path) -> dict[str, str]:
    """The environment of a process that starts a small Spark; it is read from the folder, as any configuration of its user's."""
    lines = (f"{name} {value}\n" for name, value in QUERIES.items())
    (folder / "spark-defaults.conf").write_text("".join(lines), "utf-8")
    return {**JVM, "SPARK_CONF_DIR": str(folder)}
