"""The engine in the process keeps to its memory: what does not fit is sorted and added up on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

_SCRIPT = """
import json, tempfile
from pyspark.sql import functions as F
from salesmart_assets.transforms.session import Engine

def peak():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))) * 1024

with Engine.start("sail") as engine, tempfile.TemporaryDirectory() as folder:
    rows = engine.session().range(5_000_000).select("id", F.sha2(F.col("id").cast("string"), 256).alias("receipt"))
    rows.limit(1).toArrow()
    before = peak()
    rows.groupBy("receipt").agg(F.sum("id").alias("sum")).write.parquet(folder + "/sums")
    found = engine.session().read.parquet(folder + "/sums")
    print(json.dumps({"rows": found.count(), "sum": found.agg(F.sum("sum")).collect()[0][0], "grown": peak() - before}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much memory a process has had")
def test_what_does_not_fit_is_added_up_on_disk() -> None:
    """The engine adds up more receipts than fit into its memory, with the right sums: what does not fit goes to disk."""
    # Without a bound it grows by 1.4 GB, so that this fails where the bound is lost.
    pool = {"SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(300 << 20)}
    done = subprocess.run([sys.executable, "-c", _SCRIPT], env={**os.environ, **pool}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["rows"], found["sum"]) == (5_000_000, 5_000_000 * 4_999_999 // 2)
    assert found["grown"] < 1_000_000_000
