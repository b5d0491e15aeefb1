"""What a cluster can't do is told in a sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.errors import PythonException

from salesmart_assets.batch.cluster import translated
from salesmart_assets.errors import Permanent, Retryable, UsageError
from salesmart_assets.transforms.session import jars_of

MASTER = "spark://host:7077"
TRACE = """
  An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "worker.py", line 1, in main
{last}
"""


def test_a_cluster_without_the_package() -> None:
    """Where the cluster's Python lacks this package, the error says which Python to install it in, and how to name it."""
    error = translated(PythonException(message=TRACE.format(last="ModuleNotFoundError: No module named 'salesmart_assets'")), MASTER)
    assert isinstance(error, Permanent)
    assert "'salesmart_assets'" in str(error)
    assert "PYSPARK_PYTHON" in str(error)


def test_what_is_said_on_another_machine() -> None:
    """A fault of the store that another machine meets is told in its own words, without the stack trace."""
    last = "salesmart_assets.errors.Unreachable: There are no usable credentials for the lake at s3://lake/retail."
    error = translated(PythonException(message=TRACE.format(last=last)), MASTER)
    assert isinstance(error, Retryable)
    assert str(error).startswith(f"The cluster {MASTER} gave up: There are no usable credentials for the lake")
    assert "Traceback" not in str(error)


def test_a_folder_without_jars(tmp_path: Path) -> None:
    """A folder that holds no jars is a usage error that says how to get them."""
    with pytest.raises(UsageError, match="make jars"):
        jars_of(tmp_path)
