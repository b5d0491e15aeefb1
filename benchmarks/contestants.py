"""One turn of one contestant, in a process of its own: `python -m benchmarks.contestants NAME FILE...` prints a JSON object.

Loading libraries and opening an empty lake is not measured, nor is counting what was written.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.ingest import CORES, DAY

Answer = tuple[int, str, int]
"""Rows, the sum of `total_cost`, rejected rows."""

_DUCKDB_TYPES = {"integer": "BIGINT", "string": "VARCHAR", "date": "DATE", "decimal(18,2)": "DECIMAL(18,2)"}


class _Clock:
    def __init__(self) -> None:
        self.seconds = self.cpu = 0.0
        self.peak = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds, self.cpu = time.perf_counter() - wall, time.process_time() - cpu
        # Now, before counting what was written takes memory of its own.
        self.peak = peak_memory()


def peak_memory() -> int:
    """Peak memory of this process and its children, in bytes."""
    return own_memory() + _children()


def _children() -> int:
    """Peak memory of the child processes, in bytes: the S3 endpoint's. 0 where the system does not tell."""
    found = 0
    for path in Path("/proc/self/task").glob("*/children"):
        for number in path.read_text(encoding="ascii").split():
            status = Path("/proc", number, "status").read_text(encoding="utf-8")
            found += sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    return found


def own_memory() -> int:
    """Peak memory of this process, in bytes. A new process begins with its parent's peak where the system counts it so."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _salesmart(files: list[Path], clock: _Clock, folder: Path) -> Answer:
    from salesmart_assets.batch import landing
    from salesmart_assets.batch.parsing import parse
    from salesmart_assets.batch.run import Run

    with _platform(files, folder) as platform:
        registered = landing.register(platform, "sales", Run(DAY, "benchmark"))
        table, contract = platform.tables["stg_sales"], platform.contracts["sales"]
        at_hand = {path.name: path for path in files}
        with clock.running():
            with ThreadPoolExecutor(platform.settings.workers) as pool:
                parsed = list(
                    pool.map(lambda f: parse(platform.lake, contract, table, f, at_hand[f.key.rsplit("/", 1)[-1]], "0"), registered)
                )
            base = platform.lake.snapshot(table.name)
            platform.lake.committer(table.name).commit(
                base,
                [f for item in parsed for f in item.staged],
                [],
                slice_column="batch_date",
                slices={DAY.isoformat()},
                run_id="benchmark",
                lease=None,
            )
        return _staged(platform, sum(p.result.rows_rejected for p in parsed))


def _salesmart_from_s3(files: list[Path], clock: _Clock, folder: Path) -> Answer:
    from salesmart_assets.batch import landing
    from salesmart_assets.batch.run import Run
    from salesmart_assets.batch.staging import stage

    run = Run(DAY, "benchmark")
    with _platform(files, folder) as platform:
        with clock.running():
            landing.register(platform, "sales", run)
            report = stage(platform, "sales", run)
        return _staged(platform, int(str(report.facts["rows_rejected"])))


@contextmanager
def _platform(files: list[Path], folder: Path) -> Iterator[Any]:
    """An installation in `folder` whose landing zone has the files."""
    from salesmart_assets.batch.platform import Platform
    from salesmart_assets.settings import Settings

    settings = Settings(home=folder / "home", workers=CORES)
    landed = settings.root / "s3" / settings.landing_bucket / settings.landing_prefix / "sales" / f"dt={DAY.isoformat()}"
    landed.mkdir(parents=True)
    for path in files:
        os.link(path, landed / path.name)
    with Platform(settings) as platform:
        # Opened here, not while the clock is running.
        _ = platform.lake, platform.ledger, platform.zone, platform.tables
        yield platform


def _staged(platform: Any, rejected: int) -> Answer:
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    snapshot = platform.lake.snapshot("stg_sales")
    root = platform.lake.path("stg_sales")
    found = ds.dataset([f"{root}/{f.path}" for f in snapshot.files], format="parquet").to_table(columns=["total_cost"])
    return found.num_rows, str(pc.sum(found["total_cost"]).as_py()), rejected


def _duckdb_copy(files: list[Path], clock: _Clock, folder: Path) -> Answer:
    import duckdb

    from salesmart_assets.contracts import load_contracts

    names = [str(path) for path in files]
    columns = {name: _DUCKDB_TYPES[column.type] for name, column in load_contracts()["sales"].columns.items()}
    lenient = ", ignore_errors = true" if files[0].name.startswith("bad") else ""
    reader = {
        "csv": f"read_csv({names}, delim = ',', quote = '\"', escape = '\"', header = true, columns = {columns}{lenient})",
        "json": f"read_json({names}, format = 'newline_delimited', columns = {columns})",
        "parquet": f"read_parquet({names})",
    }[_format(files[0])]
    connection = duckdb.connect()
    connection.execute(f"SET threads = {CORES}")
    with clock.running():
        connection.execute(f"COPY (SELECT * FROM {reader}) TO '{folder / 'out'}' (FORMAT parquet, PER_THREAD_OUTPUT)")
    found = connection.execute(f"SELECT count(*), sum(total_cost) FROM '{folder / 'out'}/*.parquet'").fetchone()
    assert found is not None
    return found[0], str(found[1]), 0


def _pyarrow_read(files: list[Path], clock: _Clock, _: Path) -> Answer:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    from salesmart_assets.contracts import load_contracts

    types: dict[str, Any] = {name: column.column_type.arrow for name, column in load_contracts()["sales"].columns.items()}
    schema = pa.schema(types.items())
    # pyarrow reads no decimals and dates from JSON.
    given = pa.schema(
        [(n, pa.float64() if pa.types.is_decimal(t) else pa.string() if pa.types.is_date(t) else t) for n, t in types.items()]
    )
    pa.set_cpu_count(CORES)
    read: Callable[[Path], pa.Table] = {
        "csv": lambda path: pyarrow.csv.read_csv(path, convert_options=pyarrow.csv.ConvertOptions(column_types=types)),
        "json": lambda path: pyarrow.json.read_json(path, parse_options=pyarrow.json.ParseOptions(explicit_schema=given)).cast(schema),
        "parquet": pyarrow.parquet.read_table,
    }[_format(files[0])]
    with clock.running():
        whole = pa.concat_tables([read(path) for path in files])
    return whole.num_rows, str(pc.sum(whole["total_cost"]).as_py()), 0


def _format(path: Path) -> str:
    return {"csv": "csv", "jsonl": "json", "parquet": "parquet"}[path.name.removesuffix(".gz").rsplit(".", 1)[-1]]


CONTESTANTS: dict[str, Callable[[list[Path], _Clock, Path], Answer]] = {
    "salesmart": _salesmart,
    "salesmart, from S3": _salesmart_from_s3,
    "DuckDB COPY": _duckdb_copy,
    "pyarrow read": _pyarrow_read,
}


def main() -> None:
    """Take the turn that the arguments name."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    name, files = sys.argv[1], [Path(argument) for argument in sys.argv[2:]]
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="salesmart-turn-") as folder:
        rows, total, rejected = CONTESTANTS[name](files, clock, Path(folder))
    answer = {"seconds": clock.seconds, "cpu": clock.cpu, "peak": clock.peak, "rows": rows, "total": total, "rejected": rejected}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
