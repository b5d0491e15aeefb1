"""Where the memory of what is read comes from."""

from __future__ import annotations

import os
import subprocess
import sys

import pyarrow as pa
import pytest

ASK = "import salesmart_assets.ingest.kernel, pyarrow; print(pyarrow.default_memory_pool().backend_name)"


@pytest.mark.parametrize(
    ("chosen", "expected"), [({}, "jemalloc"), ({"ARROW_DEFAULT_MEMORY_POOL": "system"}, "system")], ids=["our-choice", "the-users"]
)
def test_memory_comes_from_jemalloc_unless_the_user_chose_otherwise(chosen: dict[str, str], expected: str) -> None:
    assert {"jemalloc", "system"} <= set(pa.supported_memory_backends())
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    done = subprocess.run([sys.executable, "-c", ASK], env=environment | chosen, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
