"""From the bytes of one file to clean, typed rows and a list of everything that was not clean.

No Spark, no Dagster, no network: a local file and a contract in, Arrow tables out. `kernel.FileReader` is the way in;
`codes` names every reason for a rejection.

Arrow's memory comes from jemalloc where Arrow was built with it, for the whole process: with blocks that come and go, that is
faster and takes less memory than Arrow's own choice. `ARROW_DEFAULT_MEMORY_POOL` chooses another, as always with Arrow.
"""

from __future__ import annotations

import os

import pyarrow as pa

if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ and "jemalloc" in pa.supported_memory_backends():
    pa.set_memory_pool(pa.jemalloc_memory_pool())
